"""Put articles into events as they come."""

from datetime import UTC, datetime

from newswatch import Article, EventGrouper, TextFrom

REPORTS = [
    (
        "Pilot held after 37 brought ashore at Almeria",
        "The pilot of a boat with 37 people aboard was arrested at Almeria on Friday.",
    ),
    (
        "Almeria: 37 rescued, boat pilot arrested",
        "Police arrested the man who steered a boat with 37 people to Almeria, they said Friday.",
    ),
    ("Bridges to be repaired", "The council voted to repair three bridges over the river before winter."),
]
grouper = EventGrouper()
for number, (title, text) in enumerate(REPORTS):
    day = datetime(2026, 11, 13, number, tzinfo=UTC)
    article = Article(
        id=f"report-{number}",
        url="",
        title=title,
        text=text,
        feed="",
        text_from=TextFrom.PAGE,
        first_seen=day,
        published=day,
    )
    placed = grouper.add(article)
    print(placed.event, placed.how, round(placed.similarity, 2), title)
