"""The life cycle of a `.memory` tree: capture, distill, publish, reduce, lease, and what keeps it in order.

Several agents of one machine work in a tree at once; other machines' lines lie in shards of their own beside them.
Ledgers only grow. `index/` is made from them and may be removed at any time.
"""
