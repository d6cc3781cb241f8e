"""The right to be forgotten: who is erased, what is about them, and how it is taken out of logs and stores.

``fingerprints``, ``erasures``, ``finding`` and ``pseudonyms`` are pure; the others ask brokers and Redis.
"""

from stream.privacy.erasures import Erasures
from stream.privacy.fingerprints import Keys

__all__ = ["Erasures", "Keys"]
