import type { IncomingMessage } from 'node:http';
import type { Caller, RepositoryDirectory } from '../ports.js';
import { RegistryError } from '../protocol/errors.js';
import type { Reference, WireName } from '../protocol/names.js';
import { buildPath, type Endpoint, type Match } from '../protocol/route-table.js';
import type { Exchange, Handler, Target } from './exchange.js';
import type { Core, CoreSource, Location, Seen, Surface } from './handler.js';
import type { ForwardReply, Reply } from './reply.js';
import { readTrail } from './trail.js';
import { refuseWrites } from './writer.js';

/**
 * The flow of one request: match, wait for the registry, authenticate, resolve, permit, handle. All of the access is decided
 * before anything is looked up, so that a refusal reveals nothing.
 */
export async function dispatch<Row extends Endpoint>(
  surface: Surface<Row>,
  source: CoreSource,
  req: IncomingMessage,
  { prefix, url }: Location,
  seen: Seen,
): Promise<Reply | ForwardReply> {
  const questionMark = url.indexOf('?');
  const path = questionMark < 0 ? url : url.slice(0, questionMark);
  const match = surface.routes.match(req.method ?? 'GET', path);
  if (match === undefined) {
    throw new RegistryError('UNSUPPORTED', { status: 404, message: 'there is no such endpoint' });
  }
  seen.op = match.row.op;
  surface.guard?.(req);
  const core = source.opened ?? (await source.ready());
  const query = new URLSearchParams(questionMark < 0 ? '' : url.slice(questionMark + 1));
  const principal = await core.access.authenticate(req);
  seen.principal = principal.id;
  const trail = readTrail(req.headers.via, core.instanceId);
  const caller: Caller = { principal, trail, mayPull: (at) => core.access.permits(principal, 'pull', at) };
  const target = await findTarget(core, caller, match, req, query);
  if (target !== undefined) {
    const forwarded = await forward(target, match, query, trail);
    if (forwarded !== undefined) return forwarded;
  }
  // The table pairs each op with the parameters of its own path; the compiler proved it where the record was written.
  const handler = surface.handlers[match.row.op as Row['op']] as Handler<unknown>;
  const exchange = { req, prefix, path: prefix + path, query, params: match.params, caller, target };
  const reply = await handler(exchange as Exchange<unknown>);
  return target?.namespace === undefined ? reply : { ...reply, namespace: target.namespace };
}

/** @throws RegistryError what access refuses; NAME_UNKNOWN; UNSUPPORTED for a write to what takes none. */
async function findTarget(
  { access, directory }: Core,
  { principal }: Caller,
  { row, params }: Match<Endpoint>,
  req: IncomingMessage,
  query: URLSearchParams,
): Promise<(Target & { readonly namespace?: string }) | undefined> {
  const name = params['name'] as WireName | undefined;
  const namespace = row.access === 'pull' ? (query.get('ns') ?? undefined) : undefined;
  const resolved = name === undefined ? undefined : directory.resolve(name, { host: req.headers.host, namespace });
  if (!(await access.permits(principal, row.access, resolved?.at))) throw access.refusal(principal, row.access);
  if (name === undefined) return undefined;
  if (resolved === undefined) throw nameUnknown(name, directory);
  if (row.access === 'push' || row.access === 'delete') refuseWrites(resolved.repository, directory);
  return { name, ...resolved };
}

/** Where a read of a pass-through goes. */
async function forward(
  { name, repository, at, namespace }: Target & { readonly namespace?: string },
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
  const context = { trail, extraHeaders };
  return { forward: await repository.forward(at.image, path + search), context, mount: `/v2/${name}` };
}

function nameUnknown(name: WireName, directory: RepositoryDirectory): RegistryError {
  return new RegistryError('NAME_UNKNOWN', {
    message: 'no such repository: names have the form <repository>/<image>, as in host/<repository>/team/app:tag',
    detail: { name, repositories: directory.list().map(({ repository }) => repository.config.name) },
  });
}
