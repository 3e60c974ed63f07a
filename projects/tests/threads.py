"""Running functions at the same moment, each on a database connection of its own."""

import threading

from django.db import connection


def at_once(*functions) -> list:
    """Run every function in its own thread, all released together; return results or errors."""
    barrier, results = threading.Barrier(len(functions)), [None] * len(functions)

    def run(place, function):
        try:
            barrier.wait(30)
            results[place] = function()
        except Exception as error:
            results[place] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(functions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
