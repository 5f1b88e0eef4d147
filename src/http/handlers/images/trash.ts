import type { Repository } from '../../../ports/repository.js';
import type { RepositoryTrash } from '../../../ports/metadata/trash.js';
import { RegistryError } from '../../../protocol/errors.js';
import { parseName } from '../../../protocol/names.js';
import type { ManagementOp, ManagementParams } from '../../../protocol/tables/management.js';
import {
  decodeRestoreTrash,
  encodeTrashItem,
  formatTrashPosition,
  parseTrashPosition,
} from '../../../protocol/tables/documents/trash-documents.js';
import { readDocument } from '../../bodies/document.js';
import type { Exchange, Handler } from '../../exchange.js';
import { jsonReply } from '../../reply.js';
import { nextLink, pageOf } from '../distribution/discovery.js';
import { readDryRun } from './dry-run.js';

type TrashOp = Extract<ManagementOp, `trash.${string}`>;
type TrashHandlers = { readonly [O in TrashOp]: Handler<ManagementParams<O>> };

const maxPageSize = 1000;

/** Creates the handlers of the trash. @param find returns a repository or throws NAME_UNKNOWN. */
export function createTrashHandlers(find: (name: string) => Repository): TrashHandlers {
  const trashOf = (name: string): RepositoryTrash => {
    const { trash, config } = find(name);
    if (trash !== undefined) return trash;
    throw new RegistryError('UNSUPPORTED', {
      message: `"${name}" is a ${config.type} repository: only local repositories have a trash`,
    });
  };
  return {
    'trash.list': (exchange) => listTrash(trashOf(exchange.params.repository), exchange),
    'trash.restore': async ({ caller, params, req, body }) => {
      const trash = trashOf(params.repository);
      const wanted = decodeRestoreTrash(await readDocument({ req, body }));
      return jsonReply(200, { ...(await trash.restore(wanted, caller.actor)) });
    },
    'trash.empty': async ({ caller, params, query }) => {
      const trash = trashOf(params.repository);
      const image = query.get('image');
      const of = image === null ? undefined : parseName(image);
      const dryRun = readDryRun(query);
      const { manifests, bytes } = dryRun ? await measure(trash, of) : await trash.empty(of, caller.actor);
      return jsonReply(200, { dry_run: dryRun, manifests, bytes });
    },
  };
}

async function listTrash(
  trash: RepositoryTrash,
  { path, query, params: { repository } }: Exchange<ManagementParams<'trash.list'>>,
): ReturnType<Handler<unknown>> {
  const { limit, after } = pageOf({ query }, maxPageSize);
  const position = after === undefined ? undefined : parseTrashPosition(after);
  const items = await trash.list({
    // One more item than requested shows whether there is another page.
    limit: limit + 1,
    after: position && { at: { repository, image: position.image }, digest: position.digest, until: position.until },
  });
  const shown = items.slice(0, limit);
  const last = shown.at(-1);
  const isCut = items.length > limit && last !== undefined;
  const headers = isCut ? nextLink(path, query, formatTrashPosition(last), limit) : {};
  return jsonReply(200, { items: shown.map(encodeTrashItem) }, headers);
}

async function measure(
  trash: RepositoryTrash,
  image: string | undefined,
): Promise<{ manifests: number; bytes: number }> {
  const items = await trash.list({ limit: Infinity });
  const doomed = items.filter(({ at }) => image === undefined || at.image === image);
  return { manifests: doomed.length, bytes: doomed.reduce((sum, { bytes }) => sum + bytes, 0) };
}
