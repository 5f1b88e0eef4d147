import { Gauge, type Registry } from 'prom-client';
import type { Jobs } from '../../ports/operations/jobs.js';
import type { StatusReader } from '../../ports/operations/status.js';
import type { Upstream } from '../../ports/upstream.js';

/** The sources of the current values. */
export interface PresentSources {
  readonly status: Pick<StatusReader, 'figures' | 'disk'>;
  readonly jobs: Pick<Jobs, 'list'>;
  readonly upstreams: () => readonly {
    readonly repository: string;
    readonly upstream: Pick<Upstream, 'breaker' | 'budget'>;
  }[];
}

/** Returns a function that reads the current values into the registry of metrics. Omits unknown values. */
export function createPresentMetrics(
  registry: Registry,
  { status, jobs, upstreams }: PresentSources,
  repositoryLabel: (name: string) => string,
): () => Promise<void> {
  const registers = [registry];
  const gauge = <Label extends string>(name: string, help: string, ...labelNames: readonly Label[]) =>
    new Gauge({ name: `artifactapi_${name}`, help, labelNames: [...labelNames], registers });
  const stored = gauge('stored_bytes', 'Bytes of blobs; each digest counts once');
  const reclaimable = gauge('reclaimable_bytes', 'Bytes that a garbage collection would free');
  const free = gauge('disk_free_bytes', 'Free bytes of the file system with the blobs');
  const total = gauge('disk_size_bytes', 'Size of the file system with the blobs');
  const bytes = gauge('repository_bytes', 'Bytes of a repository; each digest counts once per image', 'repository');
  const images = gauge('repository_images', 'Images of a repository', 'repository');
  const tags = gauge('repository_tags', 'Tags of a repository', 'repository');
  const breaker = gauge('upstream_breaker_open', '1 while requests to the upstream are paused', 'repository');
  const budget = gauge('upstream_budget_ratio', 'Part of the rate limit of the upstream that is left', 'repository');
  const running = gauge('jobs_running', 'Jobs that are running', 'kind');
  const readFigures = async (): Promise<void> => {
    const { storedBytes, reclaimableBytes, repositories } = await status.figures();
    stored.set(storedBytes);
    if (reclaimableBytes !== undefined) reclaimable.set(reclaimableBytes.value);
    const disk = await status.disk();
    if (disk !== undefined) free.set(disk.freeBytes);
    if (disk !== undefined) total.set(disk.totalBytes);
    for (const [name, figures] of repositories?.value ?? []) {
      const label = { repository: repositoryLabel(name) };
      bytes.inc(label, figures.bytes);
      images.inc(label, figures.images);
      tags.inc(label, figures.tags);
    }
  };
  return async () => {
    for (const one of [stored, reclaimable, free, total, bytes, images, tags, breaker, budget, running]) one.reset();
    await readFigures();
    for (const { repository, upstream } of upstreams()) {
      const label = { repository: repositoryLabel(repository) };
      breaker.set(label, upstream.breaker.state === 'closed' ? 0 : 1);
      budget.set(label, upstream.budget);
    }
    for (const { kind, state } of await jobs.list({ limit: 1000 })) if (state === 'running') running.inc({ kind });
  };
}
