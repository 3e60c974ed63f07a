"""A report's Markdown as HTML for pages. What is in it came from people, documents and models.

Two walls: the Markdown parser takes no HTML, and nh3 lets only these few tags through.
"""

import nh3
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt

TAGS = {
    "p", "h2", "h3", "h4", "ul", "ol", "li", "blockquote", "code", "pre", "em", "strong", "br",
    "hr", "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip
HEADINGS = {"h1": "h2", "h2": "h3", "h3": "h4"}


def to_html(markdown: str) -> SafeString:
    """Return safe HTML without links, images and styles; headings begin at the second level."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(markdown)
    for token in tokens:
        token.tag = HEADINGS.get(token.tag, token.tag)
        if "right" in str(token.attrs.pop("style", "")):
            token.attrs["class"] = "num"
    html = parser.renderer.render(tokens, parser.options, {})
    allowed = {"th": {"class"}, "td": {"class"}}
    return mark_safe(nh3.clean(html, tags=TAGS, attributes=allowed, link_rel=None))
