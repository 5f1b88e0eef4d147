import type { FolderOwner } from '../stores/folder-owner.js';
import { auditSettings } from './live-numbers.js';
import { AuditFile } from '../../operations/audit-file.js';
import type { LiveOptions } from '../../options/live-options.js';
import type { MetadataStore } from '../../ports/metadata/metadata.js';
import type { Runtime } from '../../ports/runtime.js';

/**
 * Opens the audit file if it is configured. A command that administers the folder writes no lines: the registry finds its
 * changes in the journal.
 */
export async function openAudit(
  live: LiveOptions,
  { journal }: MetadataStore,
  runtime: Runtime,
  owner: FolderOwner | undefined,
): Promise<AuditFile | undefined> {
  const settings = auditSettings(live);
  return settings === undefined || owner !== undefined ? undefined : AuditFile.open(settings, { journal, runtime });
}
