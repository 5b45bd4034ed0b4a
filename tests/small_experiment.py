"""An experiment that takes a second; tests change what they are about."""

SMALL = {
    "seed_everything": 0,
    "trainer": {"max_epochs": 2, "accelerator": "cpu", "enable_progress_bar": False},
    "model": {
        "energy": {"class_path": "DoubleWell"},
        "generator": {"class_path": "CouplingFlow", "init_args": {"blocks": 2, "hidden": [16]}},
        "loss": {"class_path": "ReverseKL"},
        "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.005}},
    },
    "data": {"batch_size": 64, "steps_per_epoch": 10, "val_samples": 500, "test_samples": 1000, "eval_batch_size": 400},
}
