"""Stand-ins for two layers of PyTorch Geometric where it is not installed: the same formulas and parameters."""

import torch
from torch import Tensor, nn

__all__ = ["NNConv", "Set2Set"]


class NNConv(nn.Module):
    """``out_v = sum over edges w -> v of h_w A(edge) + b``, a matrix for each directed edge, as PyG makes them."""

    def __init__(self, inputs: int, outputs: int, network: nn.Module, *, aggr: str, root_weight: bool) -> None:
        super().__init__()
        assert aggr == "add"
        assert not root_weight
        self.shape = (inputs, outputs)
        self.nn = network
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        """Pass messages, shape ``(N, outputs)``."""
        sources, targets = edge_index
        matrices = self.nn(edge_attr).view(-1, *self.shape)
        messages = torch.matmul(x[sources].unsqueeze(1), matrices).squeeze(1)
        return x.new_zeros(x.shape[0], self.shape[1]).index_add(0, targets, messages) + self.bias


class Set2Set(nn.Module):
    """Attention over the atoms of each molecule, asked ``processing_steps`` times by an LSTM."""

    def __init__(self, width: int, processing_steps: int) -> None:
        super().__init__()
        self.width, self.processing_steps = width, processing_steps
        self.lstm = nn.LSTM(2 * width, width)

    def forward(self, x: Tensor, owner: Tensor, dim_size: int) -> Tensor:
        """Read out, shape ``(B, 2 * width)``."""
        state = (x.new_zeros(1, dim_size, self.width), x.new_zeros(1, dim_size, self.width))
        answer = x.new_zeros(dim_size, 2 * self.width)
        for _ in range(self.processing_steps):
            question, state = self.lstm(answer.unsqueeze(0), state)
            question = question.view(dim_size, self.width)
            score = (x * question[owner]).sum(1)
            top = score.new_full((dim_size,), -torch.inf).scatter_reduce(0, owner, score.detach(), "amax")
            weight = torch.exp(score - top[owner])
            weight = weight / weight.new_zeros(dim_size).index_add(0, owner, weight)[owner]
            answer = torch.cat([question, torch.zeros_like(question).index_add(0, owner, weight.unsqueeze(1) * x)], 1)
        return answer
