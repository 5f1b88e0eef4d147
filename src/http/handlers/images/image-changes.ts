import type { AccessControl } from '../../../ports/access/access.js';
import type { Caller, Repository } from '../../../ports/repository.js';
import { RegistryError } from '../../../protocol/errors.js';
import { decodeDeletion, decodeTagMove, encodeDeletion } from '../../../protocol/tables/image-changes.js';
import type { ManagementOp, ManagementParams } from '../../../protocol/tables/management.js';
import { readDocument } from '../../bodies/document.js';
import type { Handler } from '../../exchange.js';
import { jsonReply } from '../../reply.js';
import { refuseWrites } from '../../writer.js';
import { bytesPerItem } from '../distribution/discovery.js';

type ChangeOp = Extract<ManagementOp, 'image.delete' | 'image.moveTag'>;
type ChangeHandlers = { readonly [O in ChangeOp]: Handler<ManagementParams<O>> };

/**
 * Creates the handlers that change an image.
 * @param find returns a repository or throws NAME_UNKNOWN.
 * @param access returns access control.
 */
export function createImageChangeHandlers(
  find: (name: string) => Repository,
  access: () => AccessControl,
): ChangeHandlers {
  return {
    'image.delete': async ({ caller, params, req, body, turn }) => {
      const repository = find(params.repository);
      const { editor } = repository.writer ?? refuseWrites(repository, []);
      const { request, dryRun } = decodeDeletion(await readDocument({ req, body }));
      if (request.override) await requireOverride(access(), caller, repository);
      const image = repository.canonicalImage(params.image);
      const report = await editor.delete(caller, image, request, { dryRun });
      await turn((report.tags.length + report.manifests.length + report.refused.length) * bytesPerItem);
      return jsonReply(200, encodeDeletion(report, dryRun));
    },
    'image.moveTag': async ({ caller, params, req, body }) => {
      const repository = find(params.repository);
      const { editor } = repository.writer ?? refuseWrites(repository, []);
      const request = decodeTagMove(await readDocument({ req, body }));
      if (request.override) await requireOverride(access(), caller, repository);
      const { digest, was } = await editor.moveTag(caller, repository.canonicalImage(params.image), request);
      return jsonReply(200, { tag: request.tag, digest, was: was ?? null });
    },
  };
}

/** @throws RegistryError DENIED unless the caller administers the repository and the one that the change goes to. */
async function requireOverride(access: AccessControl, caller: Caller, { config, pushTo }: Repository): Promise<void> {
  for (const repository of pushTo === undefined ? [config.name] : [config.name, pushTo]) {
    if (await access.permits(caller.principal, 'admin', { at: { repository } })) continue;
    const message = `"override" needs the permission "admin" in "${repository}"`;
    throw new RegistryError('DENIED', { message, detail: { repository, required: 'admin' } });
  }
}
