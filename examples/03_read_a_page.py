"""Read the article of a page."""

from newswatch import ExtractError, extract_article

html = (
    "<html lang=en><title>Plan adopted</title><article>" + "<p>The plan was adopted on Monday.</p>" * 5 + "</article>"
)
article = extract_article(html, url="https://example.org/plan")
print(article.title, article.language, len(article.text))

try:
    extract_article("<title>Just a moment...</title><p>Verify you are human.</p>")
except ExtractError as error:
    print("no article:", error.reason)
