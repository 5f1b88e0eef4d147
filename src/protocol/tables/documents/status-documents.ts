import { encodeDocument, encodeTime } from './encoding.js';

interface Computed<T> {
  readonly value: T;
  readonly computedAt: number;
}

interface Figures {
  readonly storedBytes: number;
  readonly reclaimableBytes?: Computed<number> | undefined;
  readonly repositories?:
    | Computed<
        ReadonlyMap<
          string,
          {
            readonly images: number;
            readonly tags: number;
            readonly bytes: number;
            readonly pushedAt?: number;
            readonly trashBytes: number;
          }
        >
      >
    | undefined;
  readonly uniqueBytes?: Computed<ReadonlyMap<string, number>> | undefined;
}

/** A repository in the status. */
export interface ShownRepository {
  readonly name: string;
  readonly type: string;
  /** Whether the caller may pull everything in it, so that its figures tell nothing about other images. */
  readonly isWhole: boolean;
  /** Of a cache. */
  readonly remote?:
    | {
        readonly upstream: string;
        readonly breaker: object;
        readonly budget: number;
        readonly countedSince: number;
        readonly counters: object;
        readonly upstreamBytes: number;
      }
    | undefined;
}

/** The fields that only users with `monitor` see. */
interface Monitored {
  readonly disk:
    { readonly freeBytes: number; readonly totalBytes: number; readonly fullInDays: number | undefined } | undefined;
  readonly problems: readonly {
    readonly kind: string;
    readonly severity: string;
    readonly what: string;
    readonly where?: string | undefined;
    readonly sinceAt?: number | undefined;
    readonly advice: string;
  }[];
}

/**
 * Returns the status of the registry as the API shows it: times in RFC 3339 format, `null` for what is not known yet.
 */
export function encodeRegistryStatus(
  figures: Figures,
  repositories: readonly ShownRepository[],
  monitored: Monitored | undefined,
): object {
  const { storedBytes, reclaimableBytes: reclaimable, uniqueBytes } = figures;
  return {
    stored_bytes: storedBytes,
    reclaimable: reclaimable === undefined ? null : { bytes: reclaimable.value, ...computed(reclaimable) },
    ...(monitored === undefined ? {} : encodeMonitored(figures, monitored)),
    counted_at: figures.repositories === undefined ? null : encodeTime(figures.repositories.computedAt),
    unique_counted_at: uniqueBytes === undefined ? null : encodeTime(uniqueBytes.computedAt),
    repositories: repositories.map((repository) => encodeRepositoryFigures(figures, repository)),
  };
}

function computed({ computedAt }: Computed<unknown>): object {
  return { computed_at: encodeTime(computedAt) };
}

function encodeMonitored({ repositories }: Figures, { disk, problems }: Monitored): object {
  const trash = [...(repositories?.value.values() ?? [])].reduce((sum, { trashBytes }) => sum + trashBytes, 0);
  return {
    trash_bytes: repositories === undefined ? null : trash,
    disk: disk === undefined ? null : { ...encodeDocument(disk), full_in_days: disk.fullInDays ?? null },
    problems: problems.map(({ kind, severity, what, where, sinceAt, advice }) => ({
      kind,
      severity,
      what,
      where: where ?? null,
      since: sinceAt === undefined ? null : encodeTime(sinceAt),
      advice,
    })),
  };
}

function encodeRepositoryFigures(
  { repositories, uniqueBytes }: Figures,
  { name, type, isWhole, remote }: ShownRepository,
): object {
  const counts = isWhole ? repositories?.value.get(name) : undefined;
  const unique = uniqueBytes === undefined ? null : (uniqueBytes.value.get(name) ?? 0);
  return {
    name,
    repo_type: type,
    // A virtual repository stores nothing itself.
    ...(counts === undefined || type === 'virtual' ? {} : encodeCounts(counts, unique)),
    ...(remote === undefined ? {} : encodeRemote(remote)),
  };
}

function encodeCounts(
  { images, tags, bytes, pushedAt }: { images: number; tags: number; bytes: number; pushedAt?: number },
  unique: number | null,
): object {
  const pushed_at = pushedAt === undefined ? null : encodeTime(pushedAt);
  return { images, tags, bytes, unique_bytes: unique, pushed_at };
}

function encodeRemote(remote: NonNullable<ShownRepository['remote']>): object {
  const { upstream, breaker, budget, countedSince, counters, upstreamBytes } = remote;
  return {
    counters: encodeDocument({ ...counters, upstreamBytes, since: encodeTime(countedSince) }),
    upstream: encodeDocument({ host: upstream, ...breaker, budget }),
  };
}
