"""Random Unicode strings that look for the corners of a byte-level BPE tokenizer.

A string is a run of short pieces, each drawn from one of the `PIECES`, so that every kind of piece meets every other one:
a contraction before a digit, a space run before a combining mark, half a special token before an emoji.
"""
import random
import unicodedata
import regex
from tokenizers import Regex, pre_tokenizers

WORDS = """the be to of and in that have it for not on with he as you do at this but his by from they we say her she or an will my one all
would there their what so up out if about who get which go me when make can like time no just him know take people into year your good some
could them see other than then now look only come its over think also back after use two how our work first well way even new want because
any these give day most us Once upon a time little girl lived near forest ESP32 GGUF README.md foo_bar camelCase HTTPServer x86""".split()

SCRIPTS = """naïve café Äpfel straße œuvre İstanbul ŁÓDŹ Việt Cửa ångström ﬁne ǅungla
привет мир Български ёлка Ελλάδα ψυχή հայերեն שלום עולם العربية السلام ۱۲۳ فارسی اردو नमस्ते हिन्दी क्षत्रिय தமிழ் తెలుగు ไทย ภาษาไทย
កាន់តែ មាន မြန်မာ 我想在 工作 世界 東京 こんにちは カタカナ ｶﾀｶﾅ 한국어 안녕 ქართული አማርኛ ᏣᎳᎩ ᠮᠣᠩᠭᠣᠯ 𝔉𝔯𝔞𝔨 𝟘𝟙𝟚 𐍈𐌰 𠜎𠜱""".split()

COMBINED = ["e\u0301", "a\u0308", "n\u0303", "o\u0302\u0323", "क\u093f", "ก\u0e33", "\u0301", "\u20dd", "\u0338", "ا\u064b", "ש\u05c1", "가\u11a8"]
NUMBERS = ["²", "½", "Ⅷ", "①", "௧", "٣", "۴", "३", "〇", "㊿", "\U0001d7d9", "𒐀", "¼x", "10⁶"]
CONTRACTIONS = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'T", "'RE", "'Ve", "'M", "'lL", "'D", "’s", "''s", "'", "'x", "'sx", " 's"]
ASCII_PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
PUNCTUATION = "…。，、।۔،；：「」《》—–“”‘’¿¡·•†؟؛॥！？"
SPACES = [" ", " ", " ", "\n", "\n", "\t", "\r\n", "\r", "\v", "\f", "\x1c", "\x85", "\xa0", "\u1680", "\u2003", "\u2009", "\u2028", "\u2029", "\u202f",
          "\u205f", "\u3000", "\u200b", "\u180e", "\ufeff", "\u2060"]          # the last four look like spaces and are none
EMOJI = ["😀", "🦙", "🚀", "✅", "❤\ufe0f", "👍🏽", "👩\u200d🚀", "😶\u200d🌫\ufe0f", "👨\u200d👩\u200d👧\u200d👦", "🇫🇮", "🇯🇵", "#\ufe0f\u20e3", "🏴\U000e0067\U000e0062\U000e007f"]
BYTE_LETTERS = "ĠĊĉčĀāġŀłŃ¡¬®ÿ"       # how byte-level vocabularies spell bytes: as text they are letters like any other


def matches(pattern):
    """The code points that `tokenizers` sees as one match of a one-character pattern."""
    split, found = pre_tokenizers.Split(Regex(pattern), "removed"), set()
    for start in range(0, 0x110000, 0x1000):
        block = {chr(c) for c in range(start, start + 0x1000) if not 0xD800 <= c < 0xE000}
        found |= block.difference(*(piece for piece, _ in split.pre_tokenize_str("".join(sorted(block)))))
    return found


def settled_code_points():
    """Every code point on whose class old and new Unicode tables agree.

    `tokenizers` 0.23 has Unicode 16 in its regexes and Unicode 17 in `Digits`; `regex` 2026.11 is newer than both.
    Letters and digits assigned in between would test the age of a table, not the tokenizer.
    """
    every = {chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000}
    for pattern in (r"\p{L}", r"\p{N}", r"\s"):
        every -= matches(pattern) ^ {c for c in every if regex.match(pattern, c)}
    return sorted(every)


class Strings:
    """An endless seeded supply. `specials`: texts of the vocabulary's own special and user-defined tokens."""

    def __init__(self, seed, specials, settled):
        self.r, self.specials = random.Random(seed), specials
        # Most code points lie in the empty planes 4 to 13: without these bounds hardly any letter would be drawn.
        self.ranges = [[c for c in settled if ord(c) < end] for end in (0x3000, 0x20000, 0x110000)]
        self.kinds, self.weights = zip(*self.PIECES)

    def __iter__(self):
        while True:
            yield "".join(self.piece() for _ in range(self.r.choice((1, 2, 3, 4, 6, 9, 14))))

    def piece(self):
        return self.r.choices(self.kinds, self.weights)[0](self)

    def some(self, letters, most):
        return "".join(self.r.choices(letters, k=self.r.randint(1, most)))

    def word(self):
        word = self.r.choice(WORDS)
        return self.r.choice((" ", " ", "")) + self.r.choice((word, word, word.upper(), word.capitalize()))

    def foreign(self):
        return self.r.choice((" ", "")) + self.r.choice(SCRIPTS)

    def contraction(self):
        return self.word() + self.r.choice(CONTRACTIONS)

    def number(self):
        return self.r.choice((" ", "")) + self.r.choice((self.some("0123456789", 8), self.r.choice(NUMBERS)))

    def punctuation(self):
        return self.r.choice((" ", "")) + self.some(self.r.choice((ASCII_PUNCTUATION, PUNCTUATION, ASCII_PUNCTUATION + PUNCTUATION)), 4)

    def repeated(self):
        return self.r.choice(ASCII_PUNCTUATION + "a0 \n") * self.r.randint(2, 12)

    def spaces(self):
        return "".join(self.r.choices(SPACES, k=self.r.randint(1, 4)))

    def combined(self):
        return self.some(COMBINED, 3)

    def emoji(self):
        return self.some(EMOJI, 3)

    def control(self):
        return chr(self.r.choice((self.r.randrange(32), 127, self.r.randrange(128, 160))))

    def special(self):
        text = self.r.choice(self.specials)
        return self.r.choice((text, text, text[:-1], text[1:], text.upper()))

    def byte_letters(self):
        return self.some(BYTE_LETTERS, 3)

    def anything(self):
        return self.some(self.r.choices(self.ranges, (6, 3, 1))[0], 4)

    PIECES = ((word, 9), (foreign, 6), (contraction, 4), (number, 4), (punctuation, 5), (repeated, 1), (spaces, 5), (combined, 2), (emoji, 2),
              (control, 1), (special, 1), (byte_letters, 1), (anything, 4))


class Marked(Strings):
    """Strings in which much changes by normalization: composed and decomposed characters, marks in disorder, Hangul in parts."""

    def __init__(self, seed, specials, settled):
        super().__init__(seed, specials, settled)
        changing = [c for c in settled if unicodedata.decomposition(c)[:1] not in ("", "<") or "\uac00" <= c <= "\ud7a3"]
        self.composed = [[c for c in changing if ord(c) < end] for end in (0x2000, 0x110000)]
        self.marks = [[c for c in settled if unicodedata.combining(c) and ord(c) < end] for end in (0x370, 0x110000)]

    def composed_or_not(self):
        text = self.some(self.r.choice(self.composed), 3)
        return unicodedata.normalize(self.r.choice(("NFC", "NFD", "NFD")), text)

    def marked(self):
        text = self.r.choice((self.r.choice("aeiouAEOUnsSD"), self.composed_or_not(), " ", "1", "'", self.some("가각\u1100\u1161\u11a8", 3)))
        return text + self.some(self.r.choice(self.marks), self.r.choice((1, 2, 3, 9)))

    PIECES = Strings.PIECES + ((composed_or_not, 12), (marked, 24))
