import { anonymous } from '../util/anonymous.js';
import type { AccessQuestion, ClientInfo, Principal } from '../ports/access/access.js';
import type { ImageKey } from '../ports/metadata/images.js';
import type { Caller, ResolvedName } from '../ports/repository.js';
import { RegistryError } from '../protocol/errors.js';
import type { WireName } from '../protocol/names.js';
import type { Endpoint, Match } from '../protocol/tables/route-table.js';
import { describeActor } from './audit-notes.js';
import { announcesBody } from './bodies/body.js';
import { keepPace } from './limits/pace.js';
import type { Exchange, Handler } from './exchange.js';
import type { Arrival, Core, CoreSource, Leave, Surface } from './core.js';
import { createCaller, mayUse, requiredGrants } from './permission.js';
import type { ForwardReply, Reply } from './reply.js';
import { findTarget, forwardTarget, refuseTarget, type FoundTarget } from './target.js';
import { readSessionCookie, refuseForeignOrigins } from './clients/session-cookie.js';
import { readTrail } from './clients/trail.js';
import { refuseForeignPages, refuseUnknownHosts } from './clients/web-pages.js';

/** The maximum length of a query. It has room for fifty tags; no supported request needs more. */
const maxQueryLength = 8 * 1024;

/** A request, as far as it can be read without a lookup, and what serves it. */
interface Asked<Row extends Endpoint> extends Arrival {
  readonly core: Core;
  readonly surface: Surface<Row>;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly client: ClientInfo;
  readonly match: Match<Row>;
  readonly resolved: ResolvedName | undefined;
  readonly question: AccessQuestion;
}

/**
 * Serves one request: waits until the registry is open, applies the rate limit, matches, resolves the name, authenticates,
 * checks permissions, calls the handler. Access is decided before anything is looked up, so a refusal reveals nothing.
 *
 * What needs no promise is in functions of its own: an asynchronous function keeps all its variables on the heap.
 */
export async function dispatch<Row extends Endpoint>(
  surface: Surface<Row>,
  source: CoreSource,
  arrival: Arrival,
): Promise<Reply | ForwardReply> {
  const core = source.opened ?? (await source.ready());
  const asked = readRequest(core, surface, arrival);
  const { req, facts, match, resolved, question } = asked;
  const { row } = match;
  // Health checks do not need a login, and work even with expired credentials.
  const principal = row.access === 'none' ? anonymous : await authenticate(asked);
  facts.principal = principal.id;
  facts.via = principal.via;
  if (row.access !== 'none') {
    admit(asked, principal);
    if (!(await permits(asked, principal))) throw core.access.refusal(principal, question);
  }
  if (surface.strictQuery === true && row.anyQuery !== true) refuseUnknown(row, asked.query);
  const caller = describeCaller(asked, principal);
  const target = resolved && (findTarget(match, resolved) ?? (await refuseTarget(core, principal, match, resolved)));
  const begun = begin(asked, source, caller, target);
  if (!(begun instanceof Promise)) return begun;
  const handled = core.offload(req, await begun);
  if (target === undefined) return handled;
  const { repository } = target.at;
  const reply =
    row.op === 'blob.get' ? await core.redirects({ req, client: asked.client, repository }, handled) : handled;
  return target.namespace === undefined ? reply : { ...reply, namespace: target.namespace };
}

/** Applies the limits of the client and reads the request. @throws RegistryError when it is refused or invalid. */
function readRequest<Row extends Endpoint>(
  core: Core,
  surface: Surface<Row>,
  { req, res, location, facts }: Arrival,
): Asked<Row> {
  const { url } = location;
  const client = core.readClient(req);
  facts.clientAddress = client.address;
  facts.leave = enter(core, client.address);
  core.rates.admitClient(client.address);
  const questionMark = url.indexOf('?');
  const path = questionMark < 0 ? url : url.slice(0, questionMark);
  const match = surface.routes.match(req.method ?? 'GET', path);
  if (match === undefined) {
    throw new RegistryError('UNSUPPORTED', { status: 404, message: 'no such endpoint' });
  }
  const { row } = match;
  facts.op = row.op;
  surface.guard?.(req, row, core);
  const query = readQuery(questionMark < 0 ? '' : url.slice(questionMark + 1));
  // A dry run changes nothing, so the audit file does not record it.
  if (row.change !== undefined && query.get('dry_run') !== 'true') facts.change = row.change;
  const resolved = resolveName(core, match, client, query);
  const question = { access: row.access, client, requiredGrants: requiredGrants(match, query) };
  if (core.access.isPublic) refuseUnknownHosts(req, row, client, core.isKnownHost);
  if (core.access.isOpen) refuseForeignPages(req, row, client, core.isKnownHost);
  return { req, res, location, facts, core, surface, path, query, client, match, resolved, question };
}

/** Returns the caller of a permitted request. @throws RegistryError 508 when the request came back to this registry. */
function describeCaller<Row extends Endpoint>(
  { req, facts, core, client, question }: Asked<Row>,
  principal: Principal,
): Caller {
  const trail = readTrail(req.headers.via, core.instanceId);
  const actor = describeActor(req, principal, client, facts.id);
  if (principal.via === 'basic' || principal.via === 'host' || principal.via === 'session') core.audit?.login(actor);
  const hasLeft = (): boolean => req.socket.destroyed || req.socket.readableEnded;
  return createCaller(core.access, { principal, actor, trail, hasLeft }, question);
}

/** Starts the handler of a permitted request, or returns how to forward it. */
function begin<Row extends Endpoint>(
  asked: Asked<Row>,
  source: CoreSource,
  caller: Caller,
  target: FoundTarget | undefined,
): Promise<Reply> | ForwardReply {
  const { req, core, surface, path, query, client, match } = asked;
  const { prefix } = asked.location;
  const { pull } = core.hooks;
  const forwarded = target && forwardTarget(target, match, query, caller, pull === undefined);
  if (forwarded !== undefined) return forwarded;
  // Each op gets the parameters of its own path: the type of the record of handlers ensures it.
  const handler = surface.handlers[match.row.op as Row['op']] as Handler<unknown>;
  const require = (permission: 'pull' | 'push', at: ImageKey): Promise<void> =>
    requirePermission(asked, caller.principal, permission, at);
  const turn = (bytes: number): Promise<void> => core.answers.turn(bytes);
  const { params } = match;
  const work = core.bodies.use(req, client.address, (body) => {
    const all = { req, prefix, path: prefix + path, query, params, caller, client, target, pull, turn, require, body };
    // The type of `target` depends on the parameters, which only the row of the handler knows.
    return handler(all as Exchange<unknown>);
  });
  // A body that arrives too slowly is refused while the handler still waits for it.
  if (announcesBody(req)) source.track(work.then(ignore, ignore));
  return keepPace(req, work, core.uploadPace);
}

/**
 * Counts the request for its client.
 * @throws RegistryError TOOMANYREQUESTS when too many of its requests are in progress.
 */
function enter(core: Core, address: string): Leave {
  const leave = core.clients.enter(address);
  if (leave !== undefined) return leave;
  throw new RegistryError('TOOMANYREQUESTS', {
    message: 'too many concurrent requests: wait until some of them are answered',
    headers: { 'Retry-After': '1' },
    refusal: 'client_requests',
  });
}

function readQuery(text: string): URLSearchParams {
  if (text.length <= maxQueryLength) return new URLSearchParams(text);
  throw new RegistryError('UNSUPPORTED', { status: 414, message: 'the query is too long' });
}

/**
 * Refuses unknown query parameters: a misspelt `dry_run` must not start a collection.
 * @throws RegistryError OPTIONS_INVALID with their names.
 */
function refuseUnknown({ op, query: known = [] }: Endpoint, query: URLSearchParams): void {
  const unknown = [...new Set(query.keys())].filter((name) => !known.some((one) => one.name === name));
  const [first] = unknown;
  if (first === undefined) return;
  const takes = known.length === 0 ? 'no query parameters' : known.map(({ name }) => name).join(', ');
  throw new RegistryError('OPTIONS_INVALID', {
    message: `unknown query parameter "${first.slice(0, 100)}": ${op} takes ${takes}`,
    detail: unknown.slice(0, 10).map((name) => ({ path: name.slice(0, 100), problem: 'is unknown' })),
  });
}

/** Resolves the name in the path to an image. It uses only the configuration, so it does not reveal what is stored. */
function resolveName(
  { directory }: Core,
  { row, params }: Match<Endpoint>,
  client: ClientInfo,
  query: URLSearchParams,
): ResolvedName | undefined {
  // The route table parsed the parameter.
  const name = params['name'] as WireName | undefined;
  const namespace = row.access === 'pull' ? (query.get('ns') ?? undefined) : undefined;
  return name && directory.resolve(name, { host: client.host, namespace });
}

function authenticate<Row extends Endpoint>({ req, core, surface, question }: Asked<Row>): Promise<Principal> {
  const { authorization } = req.headers;
  const session = surface.takesSessions === true ? readSessionCookie(req, question.client) : undefined;
  if (core.authenticateHost === undefined) return core.access.authenticate({ authorization, session }, question);
  return Promise.resolve(req)
    .then(core.authenticateHost)
    .then((host) => core.access.authenticate({ authorization, host, session }, question));
}

/** Refuses a user who is over the limit, and web pages that use the user's login. @throws RegistryError */
function admit<Row extends Endpoint>(
  { req, core, surface, client, match: { row } }: Asked<Row>,
  principal: Principal,
): void {
  core.rates.admitPrincipal(principal);
  // Browsers send the cookies of the host and a remembered password without asking the user.
  const isAutomatic = principal.via === 'host' || (principal.via === 'basic' && row.method !== 'GET');
  if (isAutomatic) refuseForeignPages(req, row, client);
  if (surface.takesSessions === true) refuseForeignOrigins(req, row, principal, client);
}

function permits<Row extends Endpoint>(
  { core: { access, directory }, match: { row, params }, resolved }: Asked<Row>,
  principal: Principal,
): Promise<boolean> {
  // The credentials may be in the body: the handler decides.
  if (row.access === 'token' || row.access === 'anyone') return Promise.resolve(true);
  if (resolved !== undefined && (row.access === 'pull' || row.access === 'push' || row.access === 'delete')) {
    return mayUse(access, principal, row.access, resolved, params['name'] as WireName);
  }
  // A row with this placeholder has a parsed repository name.
  const repository = params['repository'] as string | undefined;
  if (repository === undefined) return access.permits(principal, row.access);
  const name = row.access === 'admin' ? undefined : (params['image'] as WireName | undefined);
  if (name === undefined) return access.permits(principal, row.access, { at: { repository } });
  const found = directory.get(repository)?.repository;
  const at = { repository, image: found?.canonicalImage(name) ?? name };
  if (row.access !== 'push' && row.access !== 'delete') return access.permits(principal, row.access, { at });
  // Tokens of clients are for names on the wire, and never for the management API.
  if (principal.grants !== undefined) return Promise.resolve(false);
  return mayUse(access, principal, row.access, { at, repository: found });
}

/** Checks the permission for an image that the path does not name. @throws RegistryError when access is denied. */
async function requirePermission<Row extends Endpoint>(
  { core: { access, directory }, question }: Asked<Row>,
  principal: Principal,
  permission: 'pull' | 'push',
  at: ImageKey,
): Promise<void> {
  const repository = directory.get(at.repository)?.repository;
  if (!(await mayUse(access, principal, permission, { at, repository }))) throw access.refusal(principal, question);
}

function ignore(): void {}
