"""Reading documents: `extract(path)` runs the parser in a limited child process.

Documents are untrusted: nothing outside the child may parse one. No Django in this package.
"""

from datasets.extraction.result import Extraction, ExtractionError, Page
from datasets.extraction.runner import extract

__all__ = ["Extraction", "ExtractionError", "Page", "extract"]
