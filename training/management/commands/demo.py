"""`manage.py demo`: three sample documents to a verified adapter, with progress and a summary."""

import json
import signal
import sys

from django.core.management.base import BaseCommand

from training.demo import Demo, DemoFailed


class Command(BaseCommand):
    help = "Run the whole pipeline on the sample documents with the bundled model."

    def add_arguments(self, parser) -> None:
        parser.add_argument("--json", action="store_true", help="One document on stdout.")
        parser.add_argument("--epochs", type=float, default=3)

    def handle(self, *args, epochs: float, **options) -> None:
        self._last = None
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
        demo = Demo(show=self._show, epochs=epochs)
        try:
            demo.run()
        except DemoFailed as error:
            self.stderr.write(f"\nThe demo failed. {error}")
            sys.exit(1)
        except KeyboardInterrupt:
            self.stderr.write("\nStopped.")
            sys.exit(130)
        summary = demo.summary()
        if options["json"]:
            self.stdout.write(json.dumps(summary, indent=2))
        else:
            self._table(summary)

    def _show(self, title: str, percent: int, text: str) -> None:
        """Redraw one line on a terminal; print a line each tenth elsewhere."""
        if sys.stderr.isatty():
            bar = "█" * (percent // 5) + "░" * (20 - percent // 5)
            end = "\n" if percent == 100 else ""
            sys.stderr.write(f"\r\033[K{title:<26}{bar} {percent:>3} %  {text[:70]}{end}")
            sys.stderr.flush()
        elif self._last != (title, percent // 10):
            print(f"{title:<26}{percent:>3} %  {text}", file=sys.stderr, flush=True)
        self._last = (title, percent // 10)

    def _table(self, summary: dict) -> None:
        write = self.stdout.write
        write(f"\n{'Stage':<26}{'Seconds':>9}   What came out")
        for stage in summary["stages"]:
            write(f"{stage['title']:<26}{stage['seconds']:>9.1f}   {stage['facts']}")
        write(f"{'Total':<26}{summary['seconds']:>9.1f}\n")
        before, after = summary["baseline"], summary["final"]
        write(f"Eval loss     {before['eval_loss']:.4f} before   {after['eval_loss']:.4f} after")
        write(f"Perplexity    {before['perplexity']:.2f} before   {after['perplexity']:.2f} after")
        check = summary["verification"]
        write(f"Verified      eval loss {check['eval_loss']:.4f} in a fresh process")
        write(f"Export        {summary['zip']} ({summary['zip_bytes'] / 1e6:.1f} MB)\n")
        write("See it in the browser: make run, then http://127.0.0.1:8000")
