"""`manage.py demo`: three sample documents to a verified adapter, with progress and a summary."""

import signal
import sys

from projects.commands import CommandFailed, JsonCommand
from training.demo import Demo, DemoFailed


class Command(JsonCommand):
    help = "Run the whole pipeline on the sample documents with the bundled model."

    def add_arguments(self, parser) -> None:
        parser.add_argument("--epochs", type=float, default=3)

    def work(self, *, epochs: float, **options) -> dict:
        self._last = None
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
        demo = Demo(show=self._show, epochs=epochs)
        try:
            demo.run()
        except DemoFailed as error:
            if sys.stderr.isatty():
                sys.stderr.write("\n")  # The line of the stage is still open.
            raise CommandFailed("demo_failed", f"The demo failed. {error}") from error
        return demo.summary()

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

    def show(self, data: dict) -> str:
        lines = [f"\n{'Stage':<26}{'Seconds':>9}   What came out"]
        for stage in data["stages"]:
            lines.append(f"{stage['title']:<26}{stage['seconds']:>9.1f}   {stage['facts']}")
        before, after, check = data["baseline"], data["final"], data["verification"]
        lines += [
            f"{'Total':<26}{data['seconds']:>9.1f}\n",
            f"Eval loss     {before['eval_loss']:.4f} before   {after['eval_loss']:.4f} after",
            f"Perplexity    {before['perplexity']:.2f} before   {after['perplexity']:.2f} after",
            f"Verified      eval loss {check['eval_loss']:.4f} in a fresh process",
            f"Export        {data['zip']} ({data['zip_bytes'] / 1e6:.1f} MB)\n",
            "See it in the browser: make run, then http://127.0.0.1:8000",
        ]
        return "\n".join(lines)
