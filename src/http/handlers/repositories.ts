import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { AccessControl } from '../../ports/access/access.js';
import type { RepositoryRecord } from '../../ports/metadata/metadata.js';
import type { Caller, Repository, RepositoryCheck, RepositoryDirectory } from '../../ports/repository.js';
import { isMet, parseCondition } from '../../protocol/conditions.js';
import { RegistryError } from '../../protocol/errors.js';
import { encodeStatus } from '../../protocol/tables/documents/encoding.js';
import {
  decodeRepository,
  encodeRepository,
  type ManagementOp,
  type ManagementParams,
} from '../../protocol/tables/management.js';
import { readDocument } from '../bodies/document.js';
import type { Exchange, Handler } from '../exchange.js';
import { jsonReply, type Reply } from '../reply.js';
import { encodeContent, readDryRun } from './images/dry-run.js';
import { describeProtection, type RepositoryRuleParts } from './repository-protection.js';

type RepositoryOp = Extract<ManagementOp, `repository.${string}`>;
type RepositoryHandlers = { readonly [O in RepositoryOp]: Handler<ManagementParams<O>> };

/** The dependencies of `createRepositoryHandlers`. */
export interface RepositoryHandlerParts extends RepositoryRuleParts {
  readonly directory: RepositoryDirectory;
  readonly access: AccessControl;
}

/** Creates the handlers that list, create, change and delete repositories. */
export function createRepositoryHandlers(parts: () => RepositoryHandlerParts): RepositoryHandlers {
  return {
    'repository.list': async ({ caller }) => jsonReply(200, { repositories: await listShown(parts(), caller) }),
    'repository.create': async ({ caller, req, body, prefix }) => {
      const record = await parts().directory.create(decodeRepository(await readDocument({ req, body })), caller.actor);
      return replyRecord(201, record, { Location: `${prefix}/api/v1/repositories/${record.config.name}` });
    },
    'repository.get': (exchange) => getRepository(parts(), exchange),
    'repository.replace': async ({ caller, req, body, params }) => {
      const check = readCheck(req.headers);
      const document = await readDocument({ req, body });
      // Read after the body has arrived: that may take long, and others may replace the credentials in the meantime.
      const before = parts().directory.get(params.repository)?.record.config;
      const config = decodeRepository(document, { name: params.repository, before });
      return replyRecord(200, await parts().directory.replace(config, caller.actor, check));
    },
    'repository.delete': async ({ caller, req, params, query }) => {
      const check = readCheck(req.headers);
      const { directory } = parts();
      if (readDryRun(query))
        return jsonReply(200, encodeContent(await directory.previewDelete(params.repository, check)));
      await directory.delete(params.repository, caller.actor, check);
      return { status: 204 };
    },
  };
}

/** Finds a configured repository. @throws RegistryError NAME_UNKNOWN */
export function findRepository(
  directory: RepositoryDirectory,
  name: string,
): { readonly repository: Repository; readonly record: RepositoryRecord } {
  const found = directory.get(name);
  if (found !== undefined) return found;
  throw new RegistryError('NAME_UNKNOWN', { detail: { repository: name } });
}

async function getRepository(
  parts: RepositoryHandlerParts,
  { caller, params }: Pick<Exchange<ManagementParams<'repository.get'>>, 'caller' | 'params'>,
): Promise<Reply> {
  const { record, repository } = findRepository(parts.directory, params.repository);
  const at = { repository: params.repository };
  if (!(await parts.access.permits(caller.principal, 'admin', { at })))
    return jsonReply(200, withoutSettings(encodeRepository(record)));
  const [status, protection] = await Promise.all([repository.status?.(), describeProtection(parts, repository)]);
  return replyRecord(
    200,
    record,
    {},
    {
      ...(status === undefined ? {} : { status: encodeStatus(status) }),
      ...(protection === undefined ? {} : { protection }),
    },
  );
}

function replyRecord(
  status: number,
  record: RepositoryRecord,
  headers: Readonly<Record<string, string>> = {},
  more: object = {},
): Reply {
  return jsonReply(status, { ...encodeRepository(record), ...more }, { ...headers, ETag: `"${versionOf(record)}"` });
}

/** Returns a version that changes with the settings. Each change also has a different time. */
function versionOf(record: RepositoryRecord): string {
  return createHash('sha256')
    .update(JSON.stringify(encodeRepository(record)))
    .digest('hex')
    .slice(0, 32);
}

/**
 * Reads the condition under which a repository may be changed.
 * @throws RegistryError HEADER_INVALID 400. The check throws PRECONDITION_FAILED 412.
 */
function readCheck(headers: IncomingHttpHeaders): RepositoryCheck | undefined {
  const condition = parseCondition(headers);
  if (condition === undefined) return undefined;
  return (record) => {
    const version = versionOf(record);
    if (isMet(condition, version)) return;
    throw new RegistryError('PRECONDITION_FAILED', {
      message: `the If-Match or If-None-Match of the request does not hold: the version of repository "${record.config.name}" is ${version}`,
      detail: { repository: record.config.name, version },
    });
  };
}

/** Lists repositories: completely for their administrators, with few fields for those who may pull from them. */
async function listShown(
  { directory, access }: RepositoryHandlerParts,
  { principal }: Caller,
): Promise<readonly object[]> {
  const shown: object[] = [];
  for (const { record } of directory.list()) {
    const { name } = record.config;
    const whole = encodeRepository(record);
    if (await access.permits(principal, 'admin', { at: { repository: name } })) shown.push(whole);
    else if (await access.mayKnow(principal, name)) shown.push(withoutSettings(whole));
  }
  return shown;
}

/** Returns the fields of a repository that users who do not administer it may see. */
function withoutSettings({ name, package_type, repo_type, description }: Record<string, unknown>): object {
  return { name, package_type, repo_type, description };
}
