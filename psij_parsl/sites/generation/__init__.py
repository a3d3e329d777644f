"""A first site file, from what a resource manager says of itself.

A platform's part `site_facts` asks its manager and gives plain data (`facts.py`); equal nodes make a node type
(`node_grouping.py`), and the text is written by `site_text.py`.
"""
