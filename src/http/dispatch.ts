import type { IncomingMessage } from 'node:http';
import { anonymous } from '../util/anonymous.js';
import type { AccessQuestion, ClientInfo, Principal } from '../ports/access/access.js';
import type { ImageKey } from '../ports/metadata/images.js';
import type { ResolvedName } from '../ports/repository.js';
import { RegistryError } from '../protocol/errors.js';
import type { WireName } from '../protocol/names.js';
import type { Endpoint, Match } from '../protocol/tables/route-table.js';
import { describeActor } from './audit-notes.js';
import { announcesBody } from './bodies/body.js';
import { keepPace } from './limits/pace.js';
import type { Exchange, Handler } from './exchange.js';
import type { Core, CoreSource, Leave, Location, RequestFacts, Surface } from './core.js';
import { createCaller, mayUse, requiredGrants } from './permission.js';
import type { ForwardReply, Reply } from './reply.js';
import { findTarget, forwardTarget, refuseTarget } from './target.js';
import { readSessionCookie, refuseForeignOrigins } from './clients/session-cookie.js';
import { readTrail } from './clients/trail.js';
import { refuseForeignPages, refuseUnknownHosts } from './clients/web-pages.js';

/** The maximum length of a query. It has room for fifty tags; no supported request needs more. */
const maxQueryLength = 8 * 1024;

/**
 * Serves one request: waits until the registry is open, applies the rate limit, matches, resolves the name, authenticates,
 * checks permissions, calls the handler. Access is decided before anything is looked up, so a refusal reveals nothing.
 */
export async function dispatch<Row extends Endpoint>(
  surface: Surface<Row>,
  source: CoreSource,
  req: IncomingMessage,
  { prefix, url }: Location,
  facts: RequestFacts,
  onEntered: (leave: Leave) => void,
): Promise<Reply | ForwardReply> {
  const core = source.opened ?? (await source.ready());
  const client = core.readClient(req);
  facts.clientAddress = client.address;
  onEntered(enter(core, client.address));
  core.rates.admitClient(client.address);
  const questionMark = url.indexOf('?');
  const path = questionMark < 0 ? url : url.slice(0, questionMark);
  const match = surface.routes.match(req.method ?? 'GET', path);
  if (match === undefined) {
    throw new RegistryError('UNSUPPORTED', { status: 404, message: 'no such endpoint' });
  }
  facts.op = match.row.op;
  surface.guard?.(req, match.row, core);
  const query = readQuery(questionMark < 0 ? '' : url.slice(questionMark + 1));
  const { change } = match.row;
  // A dry run changes nothing, so the audit file does not record it.
  if (change !== undefined && query.get('dry_run') !== 'true') facts.change = change;
  const resolved = resolveName(core, match, client, query);
  const question = { access: match.row.access, client, requiredGrants: requiredGrants(match, query) };
  const principal = await admit(core, surface, match, req, question, resolved, facts);
  if (surface.strictQuery === true && match.row.anyQuery !== true) refuseUnknown(match.row, query);
  const trail = readTrail(req.headers.via, core.instanceId);
  const actor = describeActor(req, principal, client, facts.id);
  if (principal.via === 'basic' || principal.via === 'host' || principal.via === 'session') core.audit?.login(actor);
  const hasLeft = (): boolean => req.socket.destroyed || req.socket.readableEnded;
  const caller = createCaller(core.access, { principal, actor, trail, hasLeft }, question);
  const target = resolved && (findTarget(match, resolved) ?? (await refuseTarget(core, principal, match, resolved)));
  const { pull } = core.hooks;
  const forwarded = target && forwardTarget(target, match, query, caller, pull === undefined);
  if (forwarded !== undefined) return forwarded;
  // Each op gets the parameters of its own path: the type of the record of handlers ensures it.
  const handler = surface.handlers[match.row.op as Row['op']] as Handler<unknown>;
  const require = (permission: 'pull' | 'push', at: ImageKey): Promise<void> =>
    requirePermission(core, principal, question, permission, at);
  const turn = (bytes: number): Promise<void> => core.answers.turn(bytes);
  const { params } = match;
  const work = core.bodies.use(req, client.address, (body) => {
    const all = { req, prefix, path: prefix + path, query, params, caller, client, target, pull, turn, require, body };
    // The type of `target` depends on the parameters, which only the row of the handler knows.
    return handler(all as Exchange<unknown>);
  });
  // A body that arrives too slowly is refused while the handler still waits for it.
  if (announcesBody(req)) source.track(work.then(ignore, ignore));
  const handled = core.offload(req, await keepPace(req, work, core.uploadPace));
  const isBlob = match.row.op === 'blob.get' && target !== undefined;
  const reply = isBlob ? await core.redirects({ req, client, repository: target.at.repository }, handled) : handled;
  return target?.namespace === undefined ? reply : { ...reply, namespace: target.namespace };
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

/** Authenticates the request and checks its permissions. @throws RegistryError when access is denied. */
async function admit(
  core: Core,
  { takesSessions = false }: Pick<Surface<never>, 'takesSessions'>,
  { row, params }: Match<Endpoint>,
  req: IncomingMessage,
  question: AccessQuestion,
  resolved: ResolvedName | undefined,
  facts: RequestFacts,
): Promise<Principal> {
  const { access, rates } = core;
  if (access.isPublic) refuseUnknownHosts(req, row, question.client, core.isKnownHost);
  if (access.isOpen) refuseForeignPages(req, row, question.client, core.isKnownHost);
  // Health checks do not need a login, and work even with expired credentials.
  const principal = row.access === 'none' ? anonymous : await authenticate(core, req, question, takesSessions);
  facts.principal = principal.id;
  facts.via = principal.via;
  if (row.access === 'none') return principal;
  rates.admitPrincipal(principal);
  // Browsers send the cookies of the host and a remembered password without asking the user.
  const isAutomatic = principal.via === 'host' || (principal.via === 'basic' && row.method !== 'GET');
  if (isAutomatic) refuseForeignPages(req, row, question.client);
  if (takesSessions) refuseForeignOrigins(req, row, principal, question.client);
  const isPermitted = await permits(core, principal, row, params, resolved);
  if (!isPermitted) throw access.refusal(principal, question);
  return principal;
}

async function authenticate(
  core: Core,
  req: IncomingMessage,
  question: AccessQuestion,
  takesSessions: boolean,
): Promise<Principal> {
  // Not awaited if the host application does not identify users, as most do not.
  const host = core.authenticateHost === undefined ? undefined : await core.authenticateHost(req);
  const session = takesSessions ? readSessionCookie(req, question.client) : undefined;
  return await core.access.authenticate({ authorization: req.headers.authorization, host, session }, question);
}

function permits(
  { access, directory }: Core,
  principal: Principal,
  row: Endpoint,
  params: Readonly<Record<string, unknown>>,
  resolved: ResolvedName | undefined,
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
async function requirePermission(
  { access, directory }: Core,
  principal: Principal,
  question: AccessQuestion,
  permission: 'pull' | 'push',
  at: ImageKey,
): Promise<void> {
  const repository = directory.get(at.repository)?.repository;
  if (!(await mayUse(access, principal, permission, { at, repository }))) throw access.refusal(principal, question);
}

function ignore(): void {}
