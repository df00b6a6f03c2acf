"""Tag a text, and see what the tags rest on."""

from newswatch import Tagger

tagger = Tagger.load()
tagging = tagger.tag(
    "Two men who drove migrants across the border in a refrigerated lorry for 3,000 euros each were sentenced to "
    "six years in prison on Thursday. The court in Trieste heard that the ring had organised at least nine crossings."
)
print(tagging.tags, dict(tagging.scores), "unsure:", tagging.unsure)
for evidence in tagging.evidence:
    print(evidence.tag, "by", evidence.words, "in:", evidence.sentence)
