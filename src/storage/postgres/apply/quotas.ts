import { createHash } from 'node:crypto';
import type { Precondition } from '../../../ports/metadata/metadata.js';
import { compilePattern, matchesAny } from '../../../protocol/patterns.js';
import { ConflictError } from '../../../util/conflict-error.js';
import { sql, type Executor } from '../postgres-statement.js';
import type { ImageDraft } from './drafts/image-draft.js';

type UsagePrecondition = Extract<Precondition, { type: 'usage' }>;

const putLock = sql('INSERT INTO quota_lock (key) VALUES ($1) ON CONFLICT DO NOTHING');
const takeLock = sql('SELECT key FROM quota_lock WHERE key = $1 FOR UPDATE');
const readLocal = sql(
  `SELECT id FROM repository WHERE id = ANY($1::bigint[]) AND deleted_at IS NULL AND type = 'local'`,
);
const sumAll = sql(`SELECT coalesce(sum(i.bytes), 0)::bigint AS bytes
  FROM repository r JOIN image i ON i.repository_id = r.id
  WHERE r.deleted_at IS NULL AND r.type = 'local' AND ($1 OR r.name = ANY($2::text[]) OR r.name || '/' || i.name ~ ANY($3::text[]))`);

/** Returns the total size of the images of local repositories that match one of the patterns. */
export async function sumSizes(reader: Executor, names: readonly string[]): Promise<number> {
  const whole: string[] = [];
  const expressions: string[] = [];
  for (const name of names) {
    const { literal, isPrefix } = compilePattern(name);
    // For a whole repository, the names of its images do not have to be compared.
    if (isPrefix && /^[^/]*\/$/.test(literal)) whole.push(literal.slice(0, -1));
    else expressions.push(toExpression(name));
  }
  const [row] = await reader.rows<{ bytes: number }>(sumAll, [names.includes('**'), whole, expressions]);
  return row?.bytes ?? 0;
}

/**
 * Checks limits on the sizes of images after the counts were written. The lock orders all writes that a limit applies to
 * until they commit, so that pushes at the same moment cannot exceed it together.
 * @throws ConflictError with the figures of the first that does not hold
 */
export async function requireUsage(
  session: Executor,
  preconditions: readonly Precondition[],
  images: readonly ImageDraft[],
): Promise<void> {
  const limits = preconditions.filter((one): one is UsagePrecondition => one.type === 'usage');
  const grown = images.filter(({ growth }) => growth !== 0);
  if (limits.length === 0 || grown.length === 0) return;
  const rows = await session.rows<{ id: number }>(readLocal, [grown.map(({ repositoryId }) => repositoryId)]);
  const local = new Set(rows.map(({ id }) => id));
  const counted = grown.filter(({ repositoryId }) => local.has(repositoryId));
  for (const { limit } of limits
    .map((limit) => ({ limit, key: keyOf(limit) }))
    .sort((a, b) => (a.key < b.key ? -1 : 1))) {
    await requireOne(session, limit, counted);
  }
}

async function requireOne(session: Executor, limit: UsagePrecondition, images: readonly ImageDraft[]): Promise<void> {
  const { names, maxBytes } = limit;
  const matching = images.filter(({ at }) => matchesAny(names, `${at.repository}/${at.image}`));
  const neededBytes = matching.reduce((sum, { growth }) => sum + growth, 0);
  // A write that adds nothing is always allowed, even above the limit.
  if (neededBytes <= 0) return;
  const key = Buffer.from(keyOf(limit), 'hex');
  await session.rows(putLock, [key]);
  await session.rows(takeLock, [key]);
  const usedBytes = (await sumSizes(session, names)) - neededBytes;
  if (usedBytes + neededBytes <= maxBytes) return;
  throw new ConflictError(`the images that match ${names.join(', ')} may have at most ${maxBytes} bytes`, {
    names,
    maxBytes,
    usedBytes,
    neededBytes,
  });
}

/** The same names always take the same lock. */
function keyOf({ names }: UsagePrecondition): string {
  return createHash('sha256')
    .update([...names].sort().join('\0'))
    .digest('hex');
}

function toExpression(pattern: string): string {
  const parts = pattern.split(/(\*\*|\*)/).map((part) => {
    if (part === '**') return '.*';
    return part === '*' ? '[^/]*' : part.replace(/[^\w/-]/g, String.raw`\$&`);
  });
  return `^${parts.join('')}$`;
}
