"""The whole job from Python, on the made-up site of the demo. With feeds of your own, leave site and resolver out."""

import tempfile
from pathlib import Path

from newswatch import Settings, Watch
from newswatch.demo import DemoSite

with DemoSite() as site, tempfile.TemporaryDirectory() as folder:
    settings = Settings(host_delay_s=0, allow_private=("127.0.0.0/8",))
    with Watch(Path(folder) / "news.db", settings=settings, resolver=site.resolve) as watch:
        for url in site.feed_urls():
            watch.add_feed(url)
        for result in watch.poll():
            print(result.feed_url, result.new_articles, result.error)
        for event in watch.events(tag="SOM"):
            print(event.title, event.article_count, event.source_count)
