"""What ``submit`` returns.

``futures``  futures and the open jobs behind them
"""
