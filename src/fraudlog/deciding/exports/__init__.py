"""Handing decisions out: lists of networks for servers and firewalls, and a webhook for programs."""

from fraudlog.deciding.exports.acting import LEFT_OUT, ListRules, mark_of
from fraudlog.deciding.exports.block_list import BlockList, block_list
from fraudlog.deciding.exports.formats import EXPORTS, Export
from fraudlog.deciding.exports.networks import Entry
from fraudlog.deciding.exports.records import decision_records
from fraudlog.deciding.exports.webhook import Webhook

__all__ = [
    "EXPORTS",
    "LEFT_OUT",
    "BlockList",
    "Entry",
    "Export",
    "ListRules",
    "Webhook",
    "block_list",
    "decision_records",
    "mark_of",
]
