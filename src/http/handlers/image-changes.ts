import type { Repository } from '../../ports/repository.js';
import { decodeDeletion, decodeTagMove, encodeDeletion } from '../../protocol/tables/image-changes.js';
import type { ManagementOp, ManagementParams } from '../../protocol/tables/management.js';
import { readDocument } from '../bodies/document.js';
import type { Handler } from '../exchange.js';
import { jsonReply } from '../reply.js';
import { refuseWrites } from '../writer.js';
import { bytesPerItem } from './discovery.js';

type ChangeOp = Extract<ManagementOp, 'image.delete' | 'image.moveTag'>;
type ChangeHandlers = { readonly [O in ChangeOp]: Handler<ManagementParams<O>> };

/** Creates the handlers that change an image. @param find returns a repository or throws NAME_UNKNOWN. */
export function createImageChangeHandlers(find: (name: string) => Repository): ChangeHandlers {
  return {
    'image.delete': async ({ caller, params, req, body, turn }) => {
      const repository = find(params.repository);
      const { editor } = repository.writer ?? refuseWrites(repository, []);
      const { request, dryRun } = decodeDeletion(await readDocument({ req, body }));
      const image = repository.canonicalImage(params.image);
      const report = await editor.delete(caller, image, request, { dryRun });
      await turn((report.tags.length + report.manifests.length + report.refused.length) * bytesPerItem);
      return jsonReply(200, encodeDeletion(report, dryRun));
    },
    'image.moveTag': async ({ caller, params, req, body }) => {
      const repository = find(params.repository);
      const { editor } = repository.writer ?? refuseWrites(repository, []);
      const request = decodeTagMove(await readDocument({ req, body }));
      const { digest, was } = await editor.moveTag(caller, repository.canonicalImage(params.image), request);
      return jsonReply(200, { tag: request.tag, digest, was: was ?? null });
    },
  };
}
