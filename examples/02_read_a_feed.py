"""Read a feed from bytes: nothing is fetched, and what was odd is said."""

from newswatch import parse_feed

feed = parse_feed(
    b"""<rss version="2.0"><channel><title>Example</title><link>https://example.org/</link>
    <item><title>Plan adopted</title><link>/plan</link><pubDate>10 Nov 2026</pubDate></item></channel></rss>""",
    url="https://example.org/rss",
)
for entry in feed.entries:
    print(entry.title, entry.url, entry.published, entry.problems)
