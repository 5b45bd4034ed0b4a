import math
from typing import NamedTuple
import torch
from lit_bg.estimators.importance import ess, forward_ess
from lit_bg.estimators.pareto import pareto_k, tail_share
def ess_with_error(log_w): return ess(log_w), 0.01
def ess_is_known(v, n): return n*v**4 >= 10
def forward_ess_with_error(log_w): return forward_ess(log_w.flatten()), 0.01
def forward_log_z(log_w):
    l = log_w.flatten().double(); return -(torch.logsumexp(-l, 0).item() - math.log(len(l))), 0.01
def unproposed_share(l, z, n): return (l - z > math.log(n)).double().mean().item()
def effective_in(inside, log_w):
    w = torch.softmax(log_w, 0)*inside; return (w.sum()**2/(w**2).sum().clamp_min(1e-300)).item()
def upper_limit(inside, log_w): return 3/(ess(log_w)*len(log_w))
