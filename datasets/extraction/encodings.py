"""The encodings a person can choose for a text file when the detection guessed wrong."""

import codecs

ENCODINGS = (
    ("utf-8", "UTF-8"),
    ("cp1252", "Western European (Windows-1252)"),
    ("iso8859-15", "Western European (ISO 8859-15)"),
    ("mac-roman", "Western European (Mac Roman)"),
    ("cp850", "Western European (DOS 850)"),
    ("cp1250", "Central European (Windows-1250)"),
    ("iso8859-2", "Central European (ISO 8859-2)"),
    ("cp1257", "Baltic (Windows-1257)"),
    ("cp1251", "Cyrillic (Windows-1251)"),
    ("koi8-r", "Cyrillic (KOI8-R)"),
    ("cp866", "Cyrillic (DOS 866)"),
    ("cp1253", "Greek (Windows-1253)"),
    ("cp1254", "Turkish (Windows-1254)"),
    ("cp1255", "Hebrew (Windows-1255)"),
    ("cp1256", "Arabic (Windows-1256)"),
    ("gb18030", "Chinese, simplified (GB 18030)"),
    ("big5", "Chinese, traditional (Big5)"),
    ("shift_jis", "Japanese (Shift JIS)"),
    ("euc_jp", "Japanese (EUC-JP)"),
    ("euc_kr", "Korean (EUC-KR)"),
    ("utf-16-le", "UTF-16, little-endian"),
    ("utf-16-be", "UTF-16, big-endian"),
)
_BY_CODEC = {codecs.lookup(name).name: label for name, label in ENCODINGS}


def label_of(encoding: str) -> str:
    """Return the encoding in words; its own name when it is none of ours."""
    try:
        return _BY_CODEC.get(codecs.lookup(encoding).name, encoding)
    except LookupError:
        return encoding
