import type { GarbageReport, Quarantine } from '../../../ports/operations/garbage.js';
import type { Actor } from '../../../ports/metadata/journal.js';
import type { DamageRecords } from '../../../ports/operations/backup.js';
import { RegistryError } from '../../../protocol/errors.js';
import { encodeDocument } from '../../../protocol/tables/documents/encoding.js';
import {
  decodeRestore,
  encodeCollection,
  encodeQuarantined,
} from '../../../protocol/tables/documents/garbage-documents.js';
import type { ManagementOp, ManagementParams } from '../../../protocol/tables/management.js';
import { decodeCollectBody } from '../../../protocol/tables/documents/job-documents.js';
import { announcesBody } from '../../bodies/body.js';
import { readDocument } from '../../bodies/document.js';
import type { Handler } from '../../exchange.js';
import { jsonReply } from '../../reply.js';
import { nextLink, pageOf } from '../distribution/discovery.js';
import { readDryRun } from '../images/dry-run.js';

/** The dependencies of `createGarbageHandlers`. */
export interface GarbageParts {
  /** Collects garbage in a job that starts after the call, or counts what it would free. */
  collectGarbage(
    by: Actor,
    options: { readonly dryRun: boolean; readonly graceSeconds?: number | undefined },
  ): Promise<GarbageReport>;
  readonly quarantine: Quarantine;
  readonly damage: Pick<DamageRecords, 'list'>;
}

type GarbageOp = Extract<ManagementOp, `${'garbage' | 'quarantine' | 'damage'}.${string}`>;
type GarbageHandlers = { readonly [O in GarbageOp]: Handler<ManagementParams<O>> };

const maxPageSize = 1000;

/** Creates the handlers of garbage collection, the quarantine and damaged blobs. */
export function createGarbageHandlers(parts: () => GarbageParts): GarbageHandlers {
  return {
    'garbage.collect': async ({ caller, req, body, query }) => {
      const request = announcesBody(req) ? decodeCollectBody(await readDocument({ req, body })) : {};
      const report = await parts().collectGarbage(caller.actor, { dryRun: readDryRun(query), ...request });
      return jsonReply(200, encodeCollection(report));
    },
    'quarantine.list': async (exchange) => {
      const page = pageOf(exchange, maxPageSize);
      const { items, more } = await parts().quarantine.list(page);
      const last = items.at(-1)?.digest ?? '';
      const link = more && page.limit > 0 ? nextLink(exchange.path, exchange.query, last, page.limit) : {};
      return jsonReply(200, { blobs: items.map(encodeQuarantined) }, link);
    },
    'quarantine.restore': async ({ req, body }) => {
      return jsonReply(200, {
        ...(await parts().quarantine.restore(decodeRestore(await readDocument({ req, body })))),
      });
    },
    'damage.list': async () => jsonReply(200, { blobs: (await parts().damage.list()).map(encodeDocument) }),
    'quarantine.delete': async ({ params: { digest } }) => {
      if (await parts().quarantine.delete(digest)) return { status: 204 };
      throw new RegistryError('NOT_FOUND', { message: 'the digest is not in quarantine', detail: { digest } });
    },
  };
}
