"""The words a verdict is read by; see `verdict`. All in lower case, without hyphens and apostrophes."""

from __future__ import annotations

import re


def wordset(text: str) -> frozenset[str]:
    """Words between spaces as a set."""
    return frozenset(text.split())


SAYS_REAL = wordset(
    "real authentic genuine legitimate legit unaltered unedited untouched unmanipulated untampered unmodified "
    "undoctored unretouched unforged unphotoshopped"
)
SAYS_FAKE = wordset(
    "fake faked fakes fakery forged forgery forgeries deepfake deepfakes deepfaked manipulated manipulation "
    "manipulations tampered tampering doctored altered alteration alterations edited modified synthetic synthesized "
    "synthesised fabricated artificial artificially inauthentic unauthentic unreal counterfeit counterfeited "
    "photoshop photoshopped photoshopping faceswap faceswapped spliced bogus phony phoney cgi computergenerated"
)
"""These count whatever they are said of."""
LOOKS_REAL = wordset("realistic natural pristine")
LOOKS_FAKE = wordset("unrealistic unnatural")
"""These count only as what is said of the whole picture ("the photo looks unnatural")."""

JOINED = (
    (
        r"\b(?:ai|a\.i\.|computer|machine|gan|algorithm|digitally|artificially|synthetically)[\s-]+"
        r"(?:generated|created|made|synthesi[sz]ed|rendered|produced)\b",
        " computergenerated ",
    ),
    (
        r"\b(?:generated|created|made|rendered|produced)\s(?:by|with|using|through|via)\s(?:an?\s|the\s)?"
        r"(?:ai|artificial\sintelligence|computer|machine|gan|algorithm|generative|neural)\b",
        " computergenerated ",
    ),
    (r"\bartificial\s(?=(?:intelligence|light|lighting|lights)\b)", " "),
    (r"\bdeep[\s-]+fake", " deepfake"),
    (r"\bbona[\s-]+fide\b", " genuine "),
    (r"\bface[\s-]+swap", " faceswap"),
    (r"\breal[\s-](?:life|world|time|estate)\b", " "),
    (r"\bunreal\sengine\b", " "),
    (r"\bnon-(?=[a-z])", " not "),
    (r"\bcannot\b", " can not "),
    (r"\b(?:dont|doesnt|isnt|arent|didnt|wasnt|cant|wont)\b", " not"),
    (r"n't\b", " not"),
    (r"'(?:s|re|ve|ll|m|d)\b", " '"),
    (r"\bno\s(?:doubt|question)\b|\bwithout\s(?:a\s|any\s)?(?:doubt|question)\b|\blittle\sdoubt\b", " surely "),
    (r"\bnot\s(?:only|just|merely|simply)\b|\bnothing\sbut\b|\bnone\sother\sthan\b", " "),
    (r"\b(?:anything\sbut|far\sfrom|rather\sthan|instead\sof|as\sopposed\sto|rules?\sout|ruled\sout)\b", " not "),
    (r"\b(?:inconsistent\swith|(?:hard|difficult|impossible)\sto\s(?:believe|call|accept))\b", " not "),
    (r"\b(?:few|little)\s(?=(?:signs?|evidence|indications?|traces?|hints?)\b)", " no "),
    (r"\b(?:made|meant|supposed|intended|designed|pretend\w*|tr(?:y|ies|ied|ying)|attempt\w*|claim\w*)\sto\b", " if "),
    (r"\bpass(?:es|ed|ing)?\s(?:for|as|off)\b|\bnot\snecessarily\b|\bmay\sor\smay\snot\b", " if "),
    (
        r"\b(?:not|hard|difficult|impossible|able)\s(?:(?:yet|to|be|really|quite|fully|able|possible)\s){0,3}"
        r"(?:tell|determine|confirm|verify|know|sure|certain|clear|judge|decide|distinguish)\b",
        " if ",
    ),
    (r"\b(?:it|this|that|which)\s(?=(?:makes|suggests|means|indicates|implies|shows|proves)\b)", " ; "),
    (r"\bhad\sit\sbeen\b|\bwere\sit\b", " if "),
    (
        r"(?<!\bi\s)(?<!guess\s)(?<!answer\s)(?<!verdict\s)\bwould\s(?:be|look|have|not\sbe|not\slook|not\shave)\b",
        " would if ",
    ),
    (r"\bnot\sbe\s(?:any\s)?more\b", " "),
    (r"\bat\sfirst(?:\s(?:glance|sight|look))?\b|\bon\sthe\ssurface\b", " initially "),
    (r"\bcompared\s(?:to|with)\b|\bin\scomparison\s(?:to|with)\b", " unlike "),
    (r"\b(?:differ|differs|different|distinct|distinguished?|distinguishable|deviates?)\sfrom\b", " unlike "),
    (r"\b(?:signs?|evidence|result|product|work|case|indicative|suggestive|victim)\sof\s", " "),
)
"""What is made one word, or a plainer one, before words are read; in this order."""
PATTERNS = tuple((re.compile(pattern), put) for pattern, put in JOINED)

NEGATORS = wordset(
    "not no never nothing none neither nor nobody nowhere without hardly barely scarcely rarely seldom lack lacks "
    "lacking absence free devoid fail fails failed unlikely doubt doubts doubtful improbable implausible aint "
    "exclude excludes"
)
BREAKS = wordset(
    "but however because since yet therefore thus hence nevertheless nonetheless instead otherwise ; : ( ) —"
)
"""A negation does not reach over these, nor does a condition."""
OPINIONS = wordset("think believe conclude say guess suspect judge conclusion verdict overall opinion answer")
FOLLOWS = wordset("suggesting indicating making implying meaning proving showing confirming so which")
"""After a comma these begin what follows from the rest: "no seams, suggesting a genuine photo"."""
CONCEDES = wordset("although though despite while whereas albeit initially")
CONDITIONS = wordset("if whether unless unsure uncertain unclear wonder")
COMPARES = wordset("than unlike between against almost nearly")
COPULAS = wordset(
    "is are was were be been being look looks looked looking appear appears appeared seem seems seemed ' has have"
)
ALTERNATIVES = wordset("or / vs versus nor |")

PICTURE = wordset(
    "image photo photograph picture pic shot snapshot portrait selfie video frame footage face person human man "
    "woman boy girl individual one this verdict conclusion answer judgement judgment"
)
PLURALS = wordset(
    "images photos photographs pictures pics portraits selfies videos frames faces persons humans men women people "
    "individuals ones fakes deepfakes forgeries"
)
PARTS = wordset(
    "skin eye eyes eyebrow eyebrows brow brows nose mouth lip lips teeth tooth tongue hair hairs hairline hairlines "
    "beard mustache moustache bangs ear ears chin jaw jawline cheek cheeks forehead neck neckline pupils iris "
    "eyelid eyelids lashes eyelashes nostril nostrils smile expression expressions emotion shadow shadows lighting "
    "light background texture textures colour color coloring skintone tone glasses makeup patch patches folds "
    "wrinkles area areas region regions part parts feature features details contour edges gaze nails clothes shirt"
)
BESIDE = wordset(
    "smile emotion emotions expression expressions tan lashes eyelashes nails laugh news sense problem issue chance "
    "reason possibility question difference evidence deal money name story hair feeling interest joy happiness"
)
"""Said of these ("a genuine smile"), a word is no verdict."""
FILLERS = wordset(
    "a an the very quite rather really so too pretty fairly totally completely entirely fully highly somewhat bit "
    "little also to be been like probably likely possibly certainly definitely clearly obviously most more "
    "extremely"
)
