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
    "photoshop photoshopped photoshopping faceswap faceswaps faceswapped faceswapping spliced bogus phony phoney cgi "
    "computergenerated hoax fraud fraudulent sham imposture falsified falsification fabrication generated swapped swap "
    "reenacted reenactment morphed composited retouched retouching face2face faceshifter neuraltextures deepfacelab "
    "splicing forging airbrushed composite composites compositing morph morphing puppeteered puppeteering montage "
    "editing edit edits inserted superimposed pasted grafted transplanted replaced"
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
    (r"\breal\sdeal\b", " genuine "),
    (r"\bblending\b(?!\s(?:well|in|natural|seamless))", " seam "),
    (r"\bthe\ssame\scan(?:\s?not|'t)\sbe\ssaid\s(?:of|for|about)\b", " ; unnatural "),
    (r"\b(?:first|initially|originally)\s(?:thought|believed|suspected|assumed)\b", " if "),
    (
        r"\b(?:came|come|comes|taken|shot|captured|photographed)\s(?:out\sof|from|by|with|on|using)\s(?:an?\s|the\s)?(?:\w+\s)?camera\b",
        " genuine ",
    ),
    (
        r"\b(?:stands?|stood|holds?|held)\sup\s(?:to|under|well|against)\b|\bpass(?:es|ed)?\s(?:every|all|each|the|my)\s(?:\w+\s)?(?:check|test|inspection)s?\b",
        " is genuine ",
    ),
    (
        r"\bthe\s(?:other|first|second|previous|earlier|last)\s(?=(?:images?|pictures?|photos?|videos?|frames?)\b)",
        " source ",
    ),
    (r"\bfail(?:s|ed)?\sto\s(?:find|see|spot|detect|notice|identify|discover)\b", " not find "),
    (r"\bcould\s(?:not|hardly|scarcely)\s(?:look|be|appear)\smore\b", " looks very "),
    (r"\bnot\sonly\s([^.;!?\n]{1,60}?),?\sbut(?:\salso)?\b", r" \1 and "),
    (r"\bcomputer\sgraphics\b", " computergenerated "),
    (
        r"\b(?:output|product|work|creation|result|invention)\sof\s(?:an?\s|the\s)?(?:\w+\s){0,2}?"
        r"(?:generator|algorithm|network|ai|model|machine|software|gan)\b|"
        r"\b(?:came|come|comes|stems|originates|straight)\s(?:out\sof|from)\s(?:an?\s|the\s)?(?:\w+\s){0,2}?"
        r"(?:generator|algorithm|neural\snetwork|network|ai|diffusion\smodel|gan)\b",
        " computergenerated ",
    ),
    (r"\banything\sother\sthan\b", " not "),
    (
        r"\b(?:(?:it|that)\s(?:would\sbe|is|seems)\s)?(?:wrong|incorrect|mistaken|a\smistake|misleading|unfair|premature)\sto\s"
        r"(?:say|call|claim|think|assume|conclude|label|suggest)\b",
        " not ",
    ),
    (r"\b(?:one|some|someone|people)\s(?:might|could|may)\s(?:argue|object|claim|say|think|suspect|assume)\b", " if "),
    (r"\bout\sof\s(?:sync|synch|place|alignment|proportion|focus|line|shape)\b", " off "),
    (r"\b(?:real|genuine|authentic|natural|convincing|lifelike)[\s-](?:looking|seeming|appearing)\b", " realistic "),
    (r"\b(?:fake|artificial|odd|strange)[\s-](?:looking|seeming|appearing)\b", " unnatural "),
    (r"\b(?:compression|jpeg|video)\s(?:artifacts?|artefacts?)\b", " "),
    (
        r"\b(?:gan|ai|diffusion|generative|generation|synthesis|deep\s?fake|manipulation|blending|swapping|forgery|"
        r"compositing|face-?swap)[\s-]+(?:artifacts?|artefacts?)\b",
        " manipulation ",
    ),
    (r"\b(?:ai|artificial)[\s-]generation\b", " manipulation "),
    (
        r"\b(?:generated|created|made|rendered|produced|synthesi[sz]ed|output)\s(?:by|with|using|through|via|from)\s"
        r"(?:an?\s|the\s)?(?:\w+\s){0,2}?(?:ai|model|network|gan|diffusion|stylegan\w*|midjourney|dall-?e|generator|software|"
        r"algorithm|deepfacelab)\b(?:\s(?:models?|networks?|algorithms?))?",
        " computergenerated ",
    ),
    (
        r"\b(?:the\s)?(?:rest|remainder|remaining\s(?:parts?|areas?|regions?|features?)|other\s(?:parts?|areas?|regions?|features?)|everything\selse|all\selse)"
        r"(?:\sof\s(?:the|his|her|this|their)\s\w+)?\b",
        " rest ",
    ),
    (
        r"\b(?:the|an?)\s(?:original|source|target|underlying)\s(?=(?:video|image|footage|photo|photograph|picture|person|actor|face|clip|recording)\b)",
        " source ",
    ),
    (r"\b(?:it\sis\s)?(?:false|untrue|incorrect|wrong|a\slie|a\smyth)\sthat\b", " not that "),
    (r"\b(?:with\sthe\sexception\sof|except(?:\sfor)?|apart\sfrom|aside\sfrom|other\sthan|save\sfor)\b", " except "),
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
    (r"\bhad\s(?:it|this|that)\sbeen\b|(?<!so\s)\bwere\s(?:it|this)\b", " if "),
    (
        r"(?<!\bi\s)(?<!guess\s)(?<!answer\s)(?<!verdict\s)\bwould\s(?:be|look|have|not\sbe|not\slook|not\shave)\b",
        " would if ",
    ),
    (r"\bnot\sbe\s(?:any\s)?more\b", " "),
    (r"\bat\sfirst(?:\s(?:glance|sight|look))?\b|\bon\sthe\ssurface\b", " initially "),
    (r"\bcompared\s(?:to|with)\b|\bin\scomparison\s(?:to|with)\b", " unlike "),
    (r"\b(?:differ|differs|different|distinct|distinguished?|distinguishable|deviates?)\sfrom\b", " unlike "),
    (r"\b(?:signs?|evidence|result|product|work|case|indicative|suggestive|victim)\sof\s(?:the\s|an?\s|any\s)*", " "),
)
"""What is made one word, or a plainer one, before words are read; in this order."""
_LOW = r"(?:low|small|slim|little|minimal|negligible|remote|tiny|near\szero|close\sto\szero|zero|unlikely|nil)"
_CHANCE = r"(?:probability|likelihood|chances?|odds|possibility|confidence)"
_VERY = r"(?:(?:very|quite|extremely|rather|really|so|fairly|relatively|exceedingly|only|about|around|below|under|just|vanishingly|less\sthan|at)\s){0,2}"
_LESS_THAN_HALF = r"(?:[0-4]?\d(?:\.\d+)?\s?%|0?\.[0-4]\d*)"
_DOUBTFUL = (
    r"(?:doubtful|questionable|in\s(?:serious\s)?(?:doubt|question)|dubious|suspect|suspicious|compromised|disputed)"
)
_SURE = r"(?:high|confirmed|verified|evident|clear|intact|undisputed|unquestionable|certain|established|genuine)"
_GENUINE = r"(?:authenticity|genuineness|veracity)"
_CLAIM = r"(?:claim|suspicion|accusation|allegation|rumou?r|theory|idea|assertion|assumption|hypothesis|possibility|notion|charge)s?"
_REFUTED = (
    r"(?:(?:does|do|did)(?:\snot|n't)\shold|(?:is|are|was|were|proved?|proves|turned\sout(?:\sto\sbe)?|seems?|remains?)\s(?:to\sbe\s)?(?:\w+ly\s)?"
    r"(?:unfounded|wrong|false|baseless|mistaken|groundless|unjustified|unsupported|untenable|off\sthe\stable)|can\s(?:\w+ly\s)?be\s"
    r"(?:dismissed|rejected|ruled\sout|discarded|excluded)|and\s(?:i\s)?(?:rejected|dismissed|discarded|excluded))"
)
MORE = (
    (rf"\b{_CLAIM}\s(?:that|of)\s([^.;!?\n]{{0,90}}?)\s{_REFUTED}\b", r" not \1 "),
    (r"\bthat\s([^.;,!?\n]{3,60}?)\s(?:can|could)\s(?:\w+ly\s)?be\s(?:ruled\sout|excluded|dismissed)\b", r" not \1 "),
    (r"\bsurprised\s(?:if|were|to\s(?:learn|find|hear)(?:\sthat)?)\b", " not "),
    (r"\bthe\s(?:opposite|reverse|antithesis)\sof\b", " not "),
    (r"\b(?:can(?:not|\snot|'t)\shelp\sbut|could\snot\shelp\sbut)\b", " "),
    (r"\b(?:hard|difficult|impossible|easy|possible|able|tough)\sto\s(?:fake|forge|manipulate|alter|edit)\b", " "),
    (
        r",\s(?:in\smy\s(?:opinion|view|judge?ment|eyes)|i\s(?:think|believe|suspect|fear|would\ssay|'d\ssay)|it\sseems|frankly|to\sme|in\sfact|indeed|obviously|clearly|of\scourse)\s?,",
        " ",
    ),
    (
        r"\bneither\sconfirm\snor\b|\bcancel(?:s|led)?\s(?:each\sother|one\sanother)\b|\bno\sway\s(?:to|of)\s(?:distinguish|tell|know)\w*\b|"
        r"\b(?:can\snot|cannot|can't|unable\sto)\s(?:tell\swhich|settle)\b|\bone\sway\sor\sthe\sother\b|\b(?:in|to)\seither\sdirection\b|\bgr[ae]y\szone\b|"
        r"\bremains?\sopen\b|\b(?:is\snot|isn't)\spossible\b(?=\s*[.!?])|\b(?:rather|would)\snot\sguess\b|\bneither\s(?:possibility|explanation|reading)\b|"
        r"\bto\sreach\sa\sconclusion\b|\b(?:would\snot|wouldn't)\sventure\b",
        " undecided ",
    ),
    (r"\b(?:digitally|synthetically)\s\w+ed\b", " manipulated "),
    (r"\bai[\s-]+(?:creation|art|artwork|product|rendering|made|work|fabrication)\b", " computergenerated "),
    (r"\b(?:do\snot|don't|dont)\sknow\b(?=\s*(?:[.!?\n]|$))", " undecided "),
    (r"(?:^|(?<=[.;,:]\s))had\s(?:some|any)(?:body|one)\b", " if "),
    (r"\b(?:whoever|anyone\swho|those\swho|if\syou)\s(?:says?|claims?|thinks?|believes?|tells?)\b", " not "),
    (rf"\b{_LOW}\s{_CHANCE}\s(?:that|of|for|in)\b", " not "),
    (rf"\b{_LESS_THAN_HALF}\s(?:{_CHANCE}|sure|certain|confident)\s(?:that|of|for|in|it)\b", " not "),
    (
        rf"\b{_CHANCE}\s((?:that|of|for|in)\s[^.;!?\n]{{0,90}}?)\s(?:is|are|seems|appears|:|=)\s{_VERY}(?:{_LOW}|{_LESS_THAN_HALF})(?!\w|\.\d)",
        r" not \1 ",
    ),
    (rf"\b{_GENUINE}\b[^.,;!?\n]{{0,60}}?\bbeyond\s(?:any\s|all\s)?doubt\b", " genuine "),
    (rf"\b(?:no|not\sany)\s(?:reason\sto\s)?doubt\s(?:about\s|of\s|that\s|the\s|its\s)*(?:{_GENUINE})\b", " genuine "),
    (rf"\b(?:lacks?|lacking|lack\sof|absence\sof|without|no)\s(?:any\s)?{_GENUINE}\b", " fake "),
    (
        rf"\b{_GENUINE}\b[^.,;!?\n]{{0,40}}?\s(?:is|seems|appears|looks|remains)\s(?:\w+\s){{0,1}}?(?:not|never|beyond|without)\s(?:\w+\s){{0,2}}?(?:{_DOUBTFUL}|doubt|question)\b",
        " genuine ",
    ),
    (
        rf"\b{_GENUINE}\b[^.,;!?\n]{{0,40}}?\s(?:is|seems|appears|looks|remains)\s{_VERY}(?:highly\s)?(?:{_DOUBTFUL}|{_LOW})\b",
        " fake ",
    ),
    (
        rf"\b{_GENUINE}\b[^.,;!?\n]{{0,40}}?\s(?:is|seems|appears|looks|remains)\s(?:\w+\s){{0,1}}?{_SURE}\b",
        " genuine ",
    ),
    (
        rf"\b(confirms?|supports?|suggests?|indicates?|points?\sto|consistent\swith|attests?\sto|favou?r\sof|speaks?\sfor|"
        rf"affirms?|demonstrates?|conveys?|evidence\sof|signs?\sof|doubts?|about|question|undermines?)\s(?:the\s|its\s|of\s|this\s|on\s|about\s|to\s|an?\s|overall\s)*{_GENUINE}\b",
        r" \1 genuine ",
    ),
)
"""Chances and authenticity, of which only a predicate makes a verdict; before `JOINED`."""
PATTERNS = tuple((re.compile(pattern), put) for pattern, put in (*MORE, *JOINED))

_DECLINES = r"(?:ca\snot|can(?:not|\snot|'t|t)|unable\sto|not\sable\sto|won't|will\snot|must\sdecline|have\sto\sdecline|decline\sto|not\s(?:allowed|permitted|comfortable|equipped|designed)(?:\sto)?|do\snot\shave\sthe\s(?:ability|capability)\sto|don't\shave\sthe\s(?:ability|capability)\sto|lack\sthe\sability\sto|refuse\sto|not\sin\sa\sposition\sto)"
STUCK = re.compile(
    r"\b(?:can(?:\snot|not)?|ca|could|unable|not\sable|will)\s(?:not\s)?(?:to\s)?(?:\w+\s){0,2}?(?:decide|reach\sa|draw\sa|come\sto\sa|commit|give\sa\s(?:clear|firm|definitive|final)|"
    r"make\sa\s(?:clear|firm|definitive|final)?\s?(?:determination|decision|call|judge?ment))|\binconclusive\b|\bundetermined\b|\bindeterminate\b|\bundecided\b|\bgo\seither\sway\b|\bdo\snot\sknow\b|\bopen\sverdict\b|\bnot\scommit\b|\bquestion\sopen\b|\bin\sthe\smiddle\b|\bno\s(?:decision|verdict)\b|\bon\sthe\sfence\b|\bboth\sways\b"
)
"""The whole answer stays open, whatever was weighed before."""
REFUSES = re.compile(
    rf"\b{_DECLINES}\s(?:\w+\s){{0,2}}?(?:assist|help|comply|fulfil|engage|participate|"
    r"(?:identify|discuss|comment\son|recogni[sz]e)\s(?:real\s)?(?:people|persons?|individuals?|faces?|anyone|someone)|"
    r"(?:view|see|access|open|process|analy[sz]e|examine|inspect|evaluate|assess|look\sat|interpret|receive|display|load)\s"
    r"(?:the\s|this\s|any\s|your\s|an?\s|that\s|these\s|actual\s|real\s|people's?\s|uploaded\s|attached\s)*(?:image|images|photo|photos|picture|pictures|"
    r"photographs?|attachments?|faces?|facial|people|files?|media|visual|videos?)|"
    r"provide\s(?:an?\s|any\s|that\s|this\s|such\s)?(?:analysis|assessment|judge?ment|opinion|answer|evaluation|verdict|determination|help|assistance))"
    r"|\bas\san?\s(?:ai|artificial|language|large|text)\b[^.!?\n]{0,60}?(?:can(?:not|\snot|'t)|unable|do\snot|don't|not\sable)"
    r"|\bsorry\b[^.!?\n]{0,40}?\bcan(?:not|\snot|'t)\s(?!(?:\w+\s){0,2}?(?:determin|tell|say|decid|sure|certain|verif|confirm|make|be\b|know))"
    r"|\bagainst\s(?:my|our|the)\s(?:\w+\s)?(?:polic|guideline|rule)|\b(?:violat\w+|content)\s(?:\w+\s){0,2}?polic|\bcannot\shelp\b|\bnot\ssomething\si\scan\sdo\b|\bdesigned\sto\savoid\b|\bbeyond\swhat\si\b|\b(?:won't|will\snot)\sjudge\b|\brather\snot\smake\sa\s(?:determination|judge?ment)\sof\sthis\skind"
    r"|\b(?:must|have\sto|will|need\sto|would)\s(?:respectfully\s|politely\s)?decline\b|\boff\slimits\b|\babstain\b|\bprefer\snot\sto\s(?:judge|answer|say\sanything|comment)|"
    r"\b(?:guidelines?|polic\w+|rules?|terms)\s(?:do\snot\s(?:permit|allow|let)|prohibit|prevent|forbid)|\bwon't\sbe\s(?:giving|making|able)|\bnot\scomfortable\s(?:with\s)?\w+ing\b|"
    r"\b(?:can(?:not|\snot|'t)|not\sable\sto)\sdo\s(?:this|that)\b|\bi(?:'m|\sam)\s(?:just|only)\sa(?:n\sai)?\s(?:language|text)"
)
"""What declines the task; "unable to verify the authenticity" does not, it is undecided."""
UNDECIDED = re.compile(
    r"\bundecided\b|\binconclusive|\bundetermined|\bindetermina|\buncertain|\bunclear\b|\bunsure\b|\bnot\s(?:entirely\s|completely\s|quite\s|really\s)?(?:sure|certain|conclusive|clear)\b|"
    r"\bambiguous|\bambivalent|\b(?:can(?:not|\snot|'t)|couldn't|could\snot)\s(?:\w+\s){0,3}?(?:determin|tell|say|decid|conclu|verif|confirm|establish|judg|"
    r"distinguish|rule|certain|sure|know|make|give|call|commit|exclude|classif)|\b(?:hard|difficult|impossible|unable|not\spossible|not\sable|no\sway|tough|tricky)\sto\s"
    r"(?:\w+\s){0,2}?(?:determin|tell|say|decid|conclu|verif|confirm|establish|judg|distinguish|rule|know|be\s|call|commit|make|classif|assess)|\bcould\s(?:just\sas\swell\s)?(?:be|go)\s(?:either|real\sor|fake\sor|"
    r"both|genuine\sor|authentic\sor)|\beither\s(?:real|fake|way|a\sreal|genuine|authentic)|\b(?:be|is|are|between|it)\s(?:an?\s)?(?:real|fake|genuine|authentic|manipulated)\s(?:or|and)\s(?:an?\s)?(?:real|fake|not|manipulated|ai|synthetic|edited)|\bneither\s(?:real|fake|genuine)|\bmay\sor\smay\snot\b|\b50\s?[/-]\s?50\b|"
    r"\bfifty|\btoss[\s-]?up|\bcoin\b|\b(?:not\senough|insufficient|too\slittle)\s(?:\w+\s)?(?:information|evidence|detail|data|resolution|basis|context)|\bmore\s(?:information|context|"
    r"evidence|details?|data|analysis)\s(?:would\sbe|is|are)\s(?:needed|required|necessary)|\bneeds?\s(?:more|further|additional)\b|\b(?:don't|do\snot)\sknow\b|\bno\s(?:clear|definitive|definite|firm|final|reliable|certain)\s"
    r"(?:answer|conclusion|verdict|judge?ment|determination|call|statement)|\bmixed\s(?:signals|evidence|picture|results|cues)|\bdepends\b|\bboth\s(?:real\sand|fake\sand|possibilit|options|are\spossible)|\breserve\sjudge?ment|\bwhether\b|\b(?:rather\snot|not)\scommit|\b(?:question|verdict|matter|case)\sopen\b|\bopen\s(?:verdict|question)|\bno\stelling\b|\bequally\s(?:likely|well|plausible|possible)|\bjust\sas\s(?:likely|well)|"
    r"\bboth\sways\b|\bin\sthe\smiddle\b|\b(?:may|could|might)\s(?:be|is)\s\w+(?:\s\w+)?\sor\b|\bneither\W{1,3}(?:real|fake|verdict|answer|option)|\bno\s(?:decision|verdict)\b|\bon\sthe\sfence\b"
)
"""What weighs and does not decide."""

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
    "woman boy girl individual one this capture recording still likeness scan snap verdict conclusion answer judgement judgment"
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
    "rest wrinkles area areas region regions part parts feature features details contour edges gaze nails clothes shirt"
)
BESIDE = wordset(
    "smile emotion emotions expression expressions tan lashes eyelashes nails laugh news sense problem issue chance "
    "reason possibility question difference evidence deal money name story hair feeling interest joy happiness "
    "detector detectors detection dataset datasets technology technologies method methods algorithm algorithms model models generator generators app apps moustache mustache beard "
    "wig nails tattoo fur leather tool tools expert experts software research media content material"
)
"""Said of these ("a genuine smile"), a word is no verdict."""
PERSONS = wordset("person human man woman boy girl individual people guy lady")
"""A real person is no verdict on the picture, where there is another."""
ELSEWHERE = wordset("source")
"""What is said of these is not said of the picture."""
NONE_OF_ANY = wordset("notany")
"""The second half of a negation ("no muestra ninguna"), which does not turn it back."""
MAYBE = wordset("could may might can possible possibly potentially potential perhaps maybe")
ASSERTS = wordset(
    "proves prove shows show reveals reveal suggests suggest indicates indicate betrays betray marks mark makes make confirms confirm"
)
"""Verbs that, after a comma, begin a new statement, like a copula."""
BUT = wordset("but however still yet nevertheless nonetheless though although")
THIS = wordset("this it image photo picture here overall verdict")
CONCLUDES = wordset(
    "overall conclusion conclude therefore thus hence so finally verdict answer actually correction summary"
)
DEEDS = wordset(
    "manipulation manipulations tampering alteration alterations forgery forgeries editing fakery manipulated swap "
    "faceswap faceswapping splicing retouching fabrication falsification fake"
)
"""Nouns that a later word may deny ("manipulation is not evident")."""
ABSENT = wordset("absent undetectable missing excluded improbable unlikely implausible")
AUXILIARIES = wordset("can could was were has have does do did")
GENERAL_NOUNS = wordset(
    "cameras lenses sensors generators models techniques methods detectors algorithms forgers tools"
)
ONE_OF_ALL = wordset("a an any")
USUALLY = wordset(
    "would usually often typically normally generally tends tend should might may can could always rarely"
)
BEFORE_GENERAL = wordset(
    "the detection of please note that remember keep in mind be aware , bear worth mentioning noting known however : but also general generally typically usually often many most some "
    "modern such today ' s current good high quality convincing sophisticated advanced all other while although since "
    "as because the fact is and these days nowadays unlike even"
)
FILLERS = wordset(
    "a an the very quite rather really so too pretty fairly totally completely entirely fully highly somewhat bit "
    "little also to be been like probably likely possibly certainly definitely clearly obviously most more "
    "extremely"
)
