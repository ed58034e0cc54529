"""The dataset card README.md: Markdown in Hugging Face's form, whose first lines are YAML."""

import html
import json
import re
from typing import Any

import jinja2

from datasets.cards.facts import CROISSANT_FILE, Facts, plain, today, writer

_TEMPLATE = """\
---
{% for key, value in front.items() -%}
{{ key }}: {{ value | yaml }}
{% endfor -%}
---

# {{ facts.title }}

{% if facts.owner_words %}
What its maker says: {{ facts.owner_words | words }}
{% endif %}
{{ facts.about }}

`{{ croissant }}` beside this card holds the same for programs, in the form of
[Croissant](https://mlcommons.org/croissant/) 1.1.
{{ facts.files }}

## How it was made
{% for line in facts.made %}
- {{ line }}
{%- endfor %}

```bash
{% for command in facts.commands -%}
{{ command | plain }}
{% endfor -%}
```

## What is in it

| split | {{ facts.kinds | join(" | ") }} |
|---{{ "|---:" * (facts.kinds | length) }}|
{% for split, counts in facts.counts.items() -%}
| `{{ split }}` |{% for kind in facts.kinds %} {{ "{:,}".format(counts[kind]) if kind in counts else "" }} |{% endfor %}
{% endfor %}
{%- for key, number in facts.more_counts.items() %}
- {{ key | words }}: {{ "{:,}".format(number) }}
{%- endfor %}

| feature | form | values | what it is |
|---|---|---|---|
{% for feature in facts.features -%}
| `{{ feature.name }}` | {{ feature.form | cell }} | {{ feature.values | cell }} | {{ feature.about | cell }} |
{% endfor %}
## How it is used

{{ facts.protocol | words }}

## Licence

{{ facts.license.text | words }}
{% if facts.license.url %}
The text of the licence: <{{ facts.license.url }}>.
{% endif %}{% if not facts.license.is_stated %}
Without a licence nobody but its maker may use it. Ask before you use it or give it on.
{% endif %}
## The people shown, personal data and consent
{% for paragraph in facts.people %}
{{ paragraph }}
{% endfor %}
## Limits
{% for limit in facts.limits %}
- {{ limit | words }}
{%- endfor %}

## Citation

```bibtex
{{ facts.citation }}
```

This card was written on {{ date }} by {{ writer }}. It is not written again as long as it is there, so what
you add stays.
"""


def to_markdown(facts: Facts) -> str:
    """Return the text of README.md."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
    environment.filters.update(yaml=_yaml, words=_words, cell=_cell, plain=plain)
    values = {"facts": facts, "front": _front_matter(facts), "croissant": CROISSANT_FILE}
    text = environment.from_string(_TEMPLATE).render(**values, date=today(), writer=writer())
    return re.sub(r"\n{3,}", "\n\n", text)


def _front_matter(facts: Facts) -> dict[str, Any]:
    front: dict[str, Any] = {"pretty_name": facts.title}
    if facts.license.spdx:
        front["license"] = facts.license.spdx.lower()
    elif facts.license.is_stated:
        front |= {
            "license": "other",
            "license_name": f"{facts.name.replace('/', '-').replace('_', '-')}-terms",
            "license_details": plain(facts.license.text),
            **({"license_link": facts.license_file} if facts.license_file else {}),
        }
    else:
        front["license"] = "unknown"
    front |= {
        "task_categories": list(facts.tasks),
        "size_categories": [facts.size_category],
        "tags": list(facts.tags),
        "source_datasets": [f"extended|other-{facts.source.replace('/', '-')}" if facts.source else "original"],
    }
    if facts.synthetic:
        front["annotations_creators"] = ["machine-generated"]
    return front


def _yaml(value: Any) -> str:
    """JSON, of which YAML is a superset: nothing in a value can end it early."""
    return json.dumps(value)


def _words(text: str) -> str:
    """Words from outside, on one line and without HTML in them."""
    return html.escape(plain(text), quote=False)


def _cell(text: str) -> str:
    return _words(text).replace("|", "&#124;")
