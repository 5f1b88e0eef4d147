import type { Principal } from '../ports/access/access.js';
import type { Caller, Repository, ResolvedName } from '../ports/repository.js';
import type { Forward } from '../ports/upstream.js';
import { RegistryError } from '../protocol/errors.js';
import { manifestTypes } from '../protocol/manifests/manifest.js';
import type { Reference, WireName } from '../protocol/names.js';
import { buildPath, type Endpoint, type Match } from '../protocol/tables/route-table.js';
import type { RequestTarget } from './exchange.js';
import type { Core } from './core.js';
import type { ForwardReply } from './reply.js';
import { refuseWrites } from './writer.js';

/** The target of a request and the namespace that selected it. */
export interface FoundTarget extends RequestTarget {
  /** The `ns` parameter that was used. */
  readonly namespace?: string | undefined;
}

/** Returns the image that a permitted request names; `undefined` if it does not exist or the request may not write to it. */
export function findTarget({ row, params }: Match<Endpoint>, resolved: ResolvedName): FoundTarget | undefined {
  const { at, repository, namespace } = resolved;
  const isWrite = row.access === 'push' || row.access === 'delete';
  if (repository === undefined || (isWrite && repository.writer === undefined)) return undefined;
  // The route table parsed the parameter.
  return { name: params['name'] as WireName, repository, at, namespace };
}

/**
 * Refuses a permitted request for which `findTarget` found nothing.
 * @throws RegistryError NAME_UNKNOWN; UNSUPPORTED for a write to a read-only repository.
 */
export async function refuseTarget(
  core: Core,
  principal: Principal,
  { params }: Match<Endpoint>,
  { repository }: ResolvedName,
): Promise<never> {
  const known = await listKnown(core, principal);
  // The route table parsed the parameter.
  if (repository === undefined) throw nameUnknown(params['name'] as WireName, known);
  return refuseWrites(repository, known);
}

/** Media types that responses of an upstream may keep. Blobs are always served as `application/octet-stream`. */
const contentTypes: Readonly<Record<string, readonly string[]>> = {
  'manifest.stat': manifestTypes,
  'manifest.get': manifestTypes,
};

/**
 * Returns how to forward a read to an upstream, or `undefined` if the registry answers it.
 * @param forwardsManifests false: a hook decides about each manifest, so the registry answers with it.
 */
export function forwardTarget(
  { name, repository, at, namespace }: FoundTarget,
  { row, params }: Match<Endpoint>,
  query: URLSearchParams,
  caller: Caller,
  forwardsManifests: boolean,
): ForwardReply | undefined {
  // The registry answers lists itself: they must be complete, and a tag list contains the name that the client used.
  if (repository.forward === undefined || row.op === 'tag.list' || row.op === 'referrer.list') return undefined;
  if (!forwardsManifests && (row.op === 'manifest.get' || row.op === 'manifest.stat')) return undefined;
  // Built from the parsed parameters, so unusual encodings never reach the upstream.
  const mount = `/v2/${name}`;
  const path = buildPath(row.path, params as Record<string, string | Reference>).slice(mount.length);
  const search = query.size === 0 ? '' : withoutNamespace(query);
  const extraHeaders: Record<string, string> = { 'X-Cache-Repository': at.repository };
  if (namespace !== undefined) extraHeaders['OCI-Namespace'] = namespace;
  const context = { extraHeaders, contentTypes: contentTypes[row.op] ?? [] };
  const forward = repository.forward(caller, at.image, path + search);
  return { forward: keepNamespace(forward, namespace), context, mount };
}

function withoutNamespace(query: URLSearchParams): string {
  const passed = new URLSearchParams(query);
  passed.delete('ns');
  return passed.size === 0 ? '' : `?${passed.toString()}`;
}

/** Adds the `ns` parameter, which decided the repository, to the URLs by which the client comes back. */
function keepNamespace(forward: Forward, namespace: string | undefined): Forward {
  if (namespace === undefined) return forward;
  const ns = `ns=${encodeURIComponent(namespace)}`;
  const mapBack = (url: URL): string | undefined => {
    const mapped = forward.mapBack(url);
    return mapped && `${mapped}${mapped.includes('?') ? '&' : '?'}${ns}`;
  };
  return { ...forward, mapBack };
}

/** Lists the repositories whose existence the principal may know. */
async function listKnown({ access, directory }: Core, principal: Principal): Promise<readonly Repository[]> {
  const known: Repository[] = [];
  for (const { repository } of directory.list()) {
    if (await access.mayKnow(principal, repository.config.name)) known.push(repository);
  }
  return known;
}

function nameUnknown(name: WireName, known: readonly Repository[]): RegistryError {
  return new RegistryError('NAME_UNKNOWN', {
    message: 'no such repository: names have the form <repository>/<image>, as in host/<repository>/team/app:tag',
    detail: { name, repositories: known.map(({ config }) => config.name) },
  });
}
