"""What a run costs: the workloads, our trainers and runtimes, and a stock Flower, Ray and Opacus peer."""
