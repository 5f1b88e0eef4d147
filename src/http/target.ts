import type { Principal } from '../ports/access.js';
import type { Repository, Resolved } from '../ports/repository.js';
import { RegistryError } from '../protocol/errors.js';
import { manifestTypes, ociIndexType } from '../protocol/manifest.js';
import type { Reference, WireName } from '../protocol/names.js';
import { buildPath, type Endpoint, type Match } from '../protocol/tables/route-table.js';
import type { Target } from './exchange.js';
import type { Core } from './core.js';
import type { ForwardReply } from './reply.js';
import { refuseWrites } from './writer.js';

export interface FoundTarget extends Target {
  /** The `?ns=` that was heeded. */
  readonly namespace?: string;
}

/** What was named and permitted. @throws RegistryError NAME_UNKNOWN; UNSUPPORTED for a write to what takes none. */
export async function findTarget(
  core: Core,
  principal: Principal,
  { row, params }: Match<Endpoint>,
  { repository, ...resolved }: Resolved,
): Promise<FoundTarget> {
  const name = params['name'] as WireName;
  if (repository === undefined) throw nameUnknown(name, await listKnown(core, principal));
  const isWrite = row.access === 'push' || row.access === 'delete';
  if (isWrite && repository.writer === undefined) refuseWrites(repository, await listKnown(core, principal));
  return { name, repository, ...resolved };
}

/** What an upstream may call its content; blobs have no type of their own. */
const contentTypes: Readonly<Record<string, readonly string[]>> = {
  'manifest.stat': manifestTypes,
  'manifest.get': manifestTypes,
  'referrer.list': [ociIndexType],
};

/** Where a read of a pass-through goes. */
export async function forwardTarget(
  { name, repository, at, namespace }: FoundTarget,
  { row, params }: Match<Endpoint>,
  query: URLSearchParams,
  trail: readonly string[],
): Promise<ForwardReply | undefined> {
  // A list of tags carries a name, which has to be the one that the client used: it is answered by us.
  if (repository.forward === undefined || row.op === 'tag.list') return undefined;
  // Built anew from what was parsed: no trick of the client's spelling reaches the upstream.
  const { name: _, ...rest } = params as Record<string, string | Reference>;
  const path = buildPath(row.path.replace('/v2/:name', ''), rest);
  const passed = new URLSearchParams(query);
  passed.delete('ns');
  const search = passed.size === 0 ? '' : `?${passed.toString()}`;
  const headers: Record<string, string> = namespace === undefined ? {} : { 'OCI-Namespace': namespace };
  const extraHeaders = { ...headers, 'X-Cache-Repository': at.repository };
  const context = { trail, extraHeaders, contentTypes: contentTypes[row.op] ?? [] };
  return { forward: await repository.forward(at.image, path + search), context, mount: `/v2/${name}` };
}

/** The repositories that an answer may name to whoever asks. */
async function listKnown({ access, directory }: Core, principal: Principal): Promise<readonly Repository[]> {
  const known: Repository[] = [];
  for (const { repository } of directory.list()) {
    if (await access.knows(principal, repository.config.name)) known.push(repository);
  }
  return known;
}

function nameUnknown(name: WireName, known: readonly Repository[]): RegistryError {
  return new RegistryError('NAME_UNKNOWN', {
    message: 'no such repository: names have the form <repository>/<image>, as in host/<repository>/team/app:tag',
    detail: { name, repositories: known.map(({ config }) => config.name) },
  });
}
