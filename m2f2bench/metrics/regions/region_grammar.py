"""Function words by which the reader of regions recognises clauses; all other words are in `regions.yaml`."""

from __future__ import annotations

from ..verdicts.verdict_words import AUXILIARIES, COPULAS, wordset

BREAKS = wordset(
    "but however because since yet therefore thus hence so nevertheless nonetheless instead otherwise while "
    "whereas although though despite which who whose when if hearsay unless whether ; : ( ) —"
)
"""Words and marks at which a new clause begins."""
CONDITIONS = wordset("if unless whether hearsay")
ASIDE = CONDITIONS | wordset("which who whose when although though despite because while whereas since")
"""First words of clauses after whose comma the sentence continues as before."""
ADVERBS = wordset("however but though nevertheless nonetheless instead yet although")
"""Words of BREAKS that may also be within a clause: "the mouth, however, is blurry"."""
DETERMINERS = wordset(
    "the his her their this both its my these those each a an one another either neither our your any some every"
)
STARTS = wordset("the his her their this both its these those")
"""Determiners of a subject that may begin without a comma before it."""
PREPOSITIONS = wordset(
    "on of in to with around near at from between above below under over beside across behind along inside "
    "within about by through into onto underneath beneath towards toward round for against outside alongside "
    "next beyond without via where before after"
)
BEYOND = wordset("above below beneath beyond underneath besides")
PRONOUNS = wordset(
    "it they these those them this that both each one he she i we you something nothing everything none there "
    "all someone restofit"
)
OBJECTS = wordset("it them him her us")
SPEAKERS = wordset("i you we one it they there")
WHOLE = wordset("nothing none everything restofit")
"""Words that are a subject by themselves."""
JOINS = wordset("and or nor neither , / & both plus")
LINKS = wordset(", and or that not also")
SIDES = wordset(", and the left right upper lower both")
EMBEDS = wordset(
    "that think believe say says suggest suggests suspect claim find found see sees know means mean make makes "
    "made doubt doubts feel consider considered show shows"
)
"""After these, a subject is not a new one: "I think the nose is fake"."""
FILL = (
    DETERMINERS
    | PREPOSITIONS
    | wordset(
        "left right upper lower inner outer same two person man woman face own other entire whole visible as well "
        "also either even region area part corner tip bridge edge edges line areas rest half white whites shape "
        "down up middle center centre side"
    )
)
"""Words within a list of regions."""
MARKERS = {"unlike": "unlike", "than": "than", "except": "except", "insteadof": "not", "likewise": "likewise"}
"""Words that introduce regions with another claim, with the kind of the group."""

NEITHER = wordset("nor notany neither")
"""After another negation, these do not reverse it."""
SPARES = wordset("spare spares spared sparing nowhere")
DOUBTS = wordset("i doubt doubts doubted doubtful")
"""Ends of a sentence that doubt its beginning: "that the eyes are real, I doubt"."""
EPITHETS = wordset("narrow crooked curved lean")
"""Faults of one region that are only traits before its name."""
COMPARED = wordset(
    "larger bigger smaller higher lower wider narrower darker brighter lighter longer shorter thicker thinner "
    "redder paler blurrier softer rounder sharper smoother"
)
HELPERS = wordset("do does did can could")
PLAINLY = wordset(
    "confirm verify detect identify discern spot observe determine reproduce substantiate rule exclude report "
    "list object agree show shows draw raise attract worry concern suggest indicate reveal affect find notice "
    "know think say call judge see give have believe want need mean cause deserve look looks appear appears "
    "seem seems feel understand"
)
"""Verbs whose negation is no fault: "the eyes do not attract attention"."""
SUPPOSES = wordset("would should")
EXPECTS = wordset("expect expected suppose imagine")
SAYING = wordset("flag single blame name list pick suspect question i say guess call point suspicious like")
"""With "would", these are not hypothetical: "I would flag the nose"."""
SMALL = (
    wordset("do does did is are was were has have can could")
    | DETERMINERS
    | PREPOSITIONS
    | wordset(
        "not no none nor neither never and or , & / too also either so well likewise as just only both same "
        "however though unlike except than it that insteadof especially particularly mainly mostly notably namely "
        "specifically primarily chiefly above all about left right upper lower i mean say would concentrate "
        "concentrates focused focuses affects affect reached reaches extends extend true person image face area "
        "region regions them answer think believe guess i we probably likely perhaps possibly least even again yes"
    )
)
"""Words without a claim: a clause of only these and regions has the claim of another one."""
MERELY = wordset("just merely simply only really actually probably surely obviously perfectly quite entirely")
IS = wordset("is are was were looks look seems appears")
THESE = wordset("this that which it both they these")
USUAL = wordset("normal natural common expected typical usual harmless ordinary fine unremarkable")
NATURAL = wordset("natural believable realistic normal plausible credible lifelike human")
SAYS_REAL = wordset("real authentic genuine legitimate unaltered untouched original")
"""Merits that exclude weaker faults."""

CARRIED = wordset("it its they their them these those both each one ones neither either this that which all")
"""Pronouns with which a clause continues about the last one's regions."""
PERSONAL = wordset("it its they their them both")
SINGULAR = wordset("is was seems looks makes suggests")
UNIVERSAL = wordset("everything nothing restofit anything everywhere nowhere")
ALL = wordset("all every each none no any")
FEATURES = wordset("region regions feature features part parts area areas")
SAME = wordset("nor neither either so too likewise also well both")
YES = wordset("obviously clearly surely undoubtedly evidently yes yeah yep indeed definitely certainly absolutely sure")
NO = wordset("no nope hardly never unlikely not")
RELATIVE = wordset("which who whose (")
HERE = wordset("here this same")
NONE = wordset("no none nil nothing not , found seen detected")
OPINION = wordset("i think believe guess say but that so would")
AUXILIARY = AUXILIARIES | COPULAS
