import type { Change, LimitedWriter, WriteOptions } from '../../ports/metadata/metadata.js';
import type { ExceededUsage } from '../../ports/metadata/quotas.js';
import type { RegistryError } from '../../protocol/errors.js';

export interface QuotaWriteParts {
  readonly metadata: LimitedWriter;
  readonly quotas: { refusalOf(exceeded: ExceededUsage): RegistryError };
}

/** Like `tryApply`. @throws RegistryError DENIED when a precondition `usage` does not hold. */
export async function tryApplyWithin(
  { metadata, quotas }: QuotaWriteParts,
  changes: readonly Change[],
  options: WriteOptions,
): Promise<boolean> {
  const written = await metadata.applyWithin(changes, options);
  if (typeof written === 'boolean') return written;
  throw quotas.refusalOf(written);
}
