import type { AccessControl } from '../../../ports/access/access.js';
import type { Caller, RepositoryDirectory } from '../../../ports/repository.js';
import type { DiskSpace, StatusReader } from '../../../ports/operations/status.js';
import type { ManagementParams } from '../../../protocol/tables/management.js';
import { encodeRegistryStatus, type ShownRepository } from '../../../protocol/tables/documents/status-documents.js';
import type { Handler } from '../../exchange.js';
import { jsonReply } from '../../reply.js';

/** The dependencies of `createGetStatus`. */
export interface StatusParts {
  readonly directory: RepositoryDirectory;
  readonly access: AccessControl;
  readonly status: StatusReader;
}

/** Creates the handler that reports the status, as far as the caller may see it. */
export function createGetStatus(parts: () => StatusParts): Handler<ManagementParams<'status.get'>> {
  return async ({ caller }) => {
    const { access, directory, status } = parts();
    const isMonitor = await access.permits(caller.principal, 'monitor');
    const figures = await status.figures();
    const repositories: ShownRepository[] = [];
    for (const { repository } of directory.list()) {
      const { name, type } = repository.config;
      if (isMonitor || (await seesWhole(access, caller, name))) {
        repositories.push({ name, type, isWhole: true, remote: await repository.status?.() });
      } else if (await access.mayKnow(caller.principal, name)) repositories.push({ name, type, isWhole: false });
    }
    const own = isMonitor ? { disk: await readDisk(status), problems: await status.problems() } : undefined;
    return jsonReply(200, encodeRegistryStatus(figures, repositories, own));
  };
}

async function readDisk(
  status: StatusReader,
): Promise<(DiskSpace & { readonly fullInDays: number | undefined }) | undefined> {
  const disk = await status.disk();
  return disk && { ...disk, fullInDays: await status.daysUntilFull(disk) };
}

/** Returns whether the caller may see the figures of a repository, which also count images that the caller may not pull. */
async function seesWhole(access: AccessControl, caller: Caller, repository: string): Promise<boolean> {
  if ((await caller.reach(repository)).isWhole === true) return true;
  return access.permits(caller.principal, 'admin', { at: { repository } });
}
