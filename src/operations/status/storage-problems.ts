/** Problems of the stores: the disk, the index, damaged blobs, orphans. */
import type { DamageRecords } from '../../ports/operations/backup.js';
import type { BlobStore } from '../../ports/bytes.js';
import type { Quarantine } from '../../ports/operations/garbage.js';
import type { MetadataStore } from '../../ports/metadata/metadata.js';
import type { Runtime } from '../../ports/runtime.js';
import type { ProblemSource, RegistryProblem } from '../../ports/operations/status.js';
import type { EmptiedTrash } from '../../ports/metadata/trash.js';
import { isInsufficientStorage } from '../../protocol/errors.js';
import { formatSize } from '../../protocol/format-bytes.js';
import { isRecent } from '../../protocol/recent.js';

/** The dependencies of the sources. */
export interface StorageProblemParts {
  readonly metadata: Pick<MetadataStore, 'status' | 'inventory'>;
  readonly blobs: BlobStore;
  readonly damage: Pick<DamageRecords, 'list'>;
  readonly quarantine: Pick<Quarantine, 'list'>;
  readonly trashRoom: { readonly lastEmptied: EmptiedTrash | undefined };
  readonly runtime: Pick<Runtime, 'now'>;
}

/** Disk space is low if a smaller share of it is free. */
const lowPart = 0.05;
/** It is also low if less than this many times the reserve is free. */
const lowReserves = 4;
/** How long an emptied trash is reported. */
const emptiedMs = 7 * 24 * 3_600_000;
/** The maximum number of quarantined blobs that are counted. */
const maxCounted = 1000;

const spaceAdvice =
  'delete images or tags, empty the trash and run "artifactapi gc --grace 0", purge caches, or enlarge the disk';

/** Creates the sources for the stores. */
export function createStorageSources(parts: StorageProblemParts): readonly ProblemSource[] {
  return [
    { name: 'index', find: async () => findIndexProblems(parts) },
    { name: 'disk', find: async () => one(await findDiskProblem(parts)) },
    { name: 'damaged blobs', find: async () => one(await findDamage(parts)) },
    { name: 'quarantine', find: async () => one(await findOrphans(parts)) },
    { name: 'trash', find: async () => one(findEmptiedTrash(parts)) },
    { name: 'stored bytes', find: async () => one(await findUncounted(parts)) },
  ];
}

function one(problem: RegistryProblem | undefined): readonly RegistryProblem[] {
  return problem === undefined ? [] : [problem];
}

function findIndexProblems({ metadata }: StorageProblemParts): readonly RegistryProblem[] {
  const { writable, lastFailure } = metadata.status();
  if (writable) return [];
  return [
    {
      kind: 'index-failed',
      severity: 'error',
      what: 'the index refuses writes after a failed write: pushes and deletes fail, pulls work',
      sinceAt: lastFailure?.at,
      advice: 'check the disk and the log; the registry tries again with each write',
    },
  ];
}

async function findDiskProblem({ blobs }: StorageProblemParts): Promise<RegistryProblem | undefined> {
  const { freeBytes, totalBytes, reserveBytes = 0 } = (await blobs.space?.()) ?? {};
  try {
    await blobs.ensureRoom(0);
  } catch (error) {
    if (!isInsufficientStorage(error)) throw error;
    const free = freeBytes === undefined ? '' : `: ${formatSize(freeBytes)} are free`;
    return {
      kind: 'disk-full',
      severity: 'error',
      what: `uploads are refused, the disk is full${free}`,
      advice: spaceAdvice,
    };
  }
  if (freeBytes === undefined || totalBytes === undefined) return undefined;
  if (freeBytes >= lowPart * totalBytes && freeBytes >= lowReserves * reserveBytes) return undefined;
  return {
    kind: 'disk-low',
    severity: 'warning',
    what: `the disk is low: ${formatSize(freeBytes)} of ${formatSize(totalBytes)} are free`,
    advice: spaceAdvice,
  };
}

async function findDamage({ damage }: StorageProblemParts): Promise<RegistryProblem | undefined> {
  const records = await damage.list();
  const [first] = records;
  if (first === undefined) return undefined;
  const [use] = first.uses;
  const tag = use?.tag === undefined ? '' : `:${use.tag}`;
  return {
    kind: 'blobs-damaged',
    severity: 'error',
    what: records.length === 1 ? '1 blob is damaged' : `${records.length} blobs are damaged`,
    where: use === undefined ? first.digest : `${use.repository}/${use.image}${tag}`,
    sinceAt: Math.min(...records.map(({ foundAt }) => foundAt)),
    advice: 'list them with "artifactapi damage", then push the images again or restore a backup; check the disk',
  };
}

async function findOrphans({ quarantine }: StorageProblemParts): Promise<RegistryProblem | undefined> {
  const { items, more } = await quarantine.list({ limit: maxCounted });
  if (items.length === 0) return undefined;
  const bytes = items.reduce((sum, { size }) => sum + size, 0);
  return {
    kind: 'blobs-quarantined',
    severity: 'notice',
    what: `${more ? 'more than ' : ''}${items.length} blobs without a reference are in quarantine: ${formatSize(bytes)}`,
    sinceAt: Math.min(...items.map(({ quarantinedAt }) => quarantinedAt)),
    advice:
      'nothing, after a crash: they are deleted when they expire; after a lost index, restore a backup before that ("artifactapi quarantine")',
  };
}

function findEmptiedTrash({ trashRoom, runtime }: StorageProblemParts): RegistryProblem | undefined {
  const emptied = trashRoom.lastEmptied;
  if (emptied === undefined || !isRecent(emptied.emptiedAt, emptiedMs, runtime.now())) return undefined;
  const { emptiedAt, manifests, bytes } = emptied;
  return {
    kind: 'trash-emptied',
    severity: 'warning',
    what: `${manifests} deleted manifests left the trash early, because the disk was full: ${formatSize(bytes)}`,
    sinceAt: emptiedAt,
    advice: 'enlarge the disk; "artifactapi events --type manifest.purged" lists them',
  };
}

async function findUncounted({ metadata }: StorageProblemParts): Promise<RegistryProblem | undefined> {
  if ((await metadata.inventory.storedBytes()).isComplete) return undefined;
  return {
    kind: 'index-not-counted',
    severity: 'notice',
    what: 'content that an earlier release stored is still being counted: the stored bytes are too low',
    advice: 'wait: it is counted in the background',
  };
}
