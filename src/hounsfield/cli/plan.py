"""hounsfield plan"""

from __future__ import annotations

from hounsfield.cli import options as opt
from hounsfield.cli.app import app, console


@app.command(epilog="Example: `hounsfield plan runs/first --backbone resnet50 --set epochs=10`")
def plan(
    run: opt.Run,
    side_free: opt.SideFree = False,
    loss: opt.LossName = "cross-entropy",
    backbone: opt.Backbone = None,
    weights: opt.WeightsFrom = None,
    set_: opt.Set = None,
    budget: opt.Budget = None,
    memory: opt.Memory = None,
    disk: opt.Disk = None,
    trials: opt.Trials = False,
    device: opt.Device = "auto",
    workers: opt.Workers = None,
) -> None:
    """Cohort → Plan: a YAML with every decision and its reason, to read, edit and rerun."""
    from hounsfield.cli.console import Bars
    from hounsfield.pipeline.folder import RunFolder
    from hounsfield.pipeline.stages import Machine, plan_stage

    chosen = opt.planning(side_free, loss, backbone, weights, set_, budget, memory, disk, trials)
    with Bars(console) as bars:
        plan_stage(RunFolder(run), chosen, Machine(device, workers, bars))
    console.print(f"plan: {run / 'plan.yaml'}", soft_wrap=True)
