"""All benchmarks of the road to BERT: `python -m benchmarks.lineage`, most of a day on 2 cores."""

import sys
from typing import Any

from benchmarks.lineage import addition, dates, multi30k, ntm, parity, toys

MODULES: tuple[Any, ...] = (parity, dates, addition, toys, multi30k, ntm)


def main() -> int:
    """Run every benchmark with its defaults; return 1 if one of them failed."""
    codes = {module.__name__: module.main(module.Options()) for module in MODULES}
    lstms = multi30k.Options(only=("attention", "gnmt"))
    codes[f"{multi30k.__name__}, LSTMs"] = multi30k.main(lstms)
    print("\n" + "\n".join(f"{'FAIL' if code else 'PASS'}  {name}" for name, code in codes.items()))
    return max(codes.values())


if __name__ == "__main__":
    sys.exit(main())
