import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AccessControl, Caller, RepositoryDirectory, Runtime } from '../ports.js';
import { RegistryError } from '../protocol/errors.js';
import type { WireName } from '../protocol/names.js';
import type { Endpoint, RouteTable } from '../protocol/route-table.js';
import type { Exchange, Handler, Target } from './exchange.js';
import { errorReply, send, type Reply } from './reply.js';

/** What Connect, Express and a bare server call; the types are structural so that none of them is needed. */
export type Middleware = (req: IncomingMessage, res: ServerResponse, next: (error?: unknown) => void) => void;

/** A part of the URL space: its table of endpoints and what answers each. */
export interface Surface<Row extends Endpoint> {
  readonly routes: RouteTable<Row>;
  readonly handlers: Readonly<Record<Row['op'], Handler<never>>>;
  /** The part of a request's URL that the table is matched against, or `undefined` when the request is not ours. */
  locate(req: IncomingMessage): { readonly prefix: string; readonly url: string } | undefined;
  /** Throws when the request must not be answered at all. */
  guard?(req: IncomingMessage): void;
}

/** What handlers are given to work with, once the registry is open. */
export interface Core {
  readonly access: AccessControl;
  readonly directory: RepositoryDirectory;
}

/** Opens on the first request and from then on at once. */
export interface CoreSource {
  readonly opened: Core | undefined;
  ready(): Promise<Core>;
  /** Told of every request while it is answered: a registry closes when none is left. */
  track(answered: Promise<void>): void;
}

/**
 * The middleware of a surface. Matches, waits for the registry, authenticates, resolves, permits, handles, answers; what is
 * not ours goes to `next`. Nothing it does rejects or throws to the host.
 */
export function createHandler<Row extends Endpoint>(
  surface: Surface<Row>,
  source: CoreSource,
  runtime: Runtime,
): Middleware {
  return (req, res, next) => {
    const location = surface.locate(req);
    if (location === undefined) next();
    else source.track(answer(surface, source, runtime, req, res, location));
  };
}

async function answer<Row extends Endpoint>(
  surface: Surface<Row>,
  source: CoreSource,
  runtime: Runtime,
  req: IncomingMessage,
  res: ServerResponse,
  location: { readonly prefix: string; readonly url: string },
): Promise<void> {
  const startedAt = performance.now();
  const id = requestIdOf(res) ?? runtime.newId();
  const seen = { op: 'unmatched', principal: '' };
  // Read now: a connection that is closed has none.
  const remoteAddress = req.socket.remoteAddress ?? '';
  let reply: Reply;
  let errorCode: string | undefined;
  try {
    reply = await handle(surface, source, req, location, seen);
  } catch (thrown) {
    const error = asRegistryError(thrown, req, runtime, id);
    errorCode = error.code;
    reply = errorReply(error);
  }
  try {
    await send(req, res, reply, { id, log: runtime.log });
  } catch (cause) {
    runtime.log.error({ err: cause, id, method: req.method, url: req.url }, 'an answer could not be sent');
    res.destroy();
  }
  if (runtime.events.listenerCount('request') === 0) return;
  runtime.emit('request', {
    id,
    op: seen.op,
    method: req.method ?? '',
    url: req.url ?? '',
    status: reply.status,
    durationMs: performance.now() - startedAt,
    principal: seen.principal,
    remoteAddress,
    ...(errorCode === undefined ? {} : { errorCode }),
  });
}

/** The host's own id of the request, where it has given one: so that its log and ours name the same. */
function requestIdOf(res: ServerResponse): string | undefined {
  const id = res.getHeader('X-Request-Id');
  return typeof id === 'string' ? id : undefined;
}

async function handle<Row extends Endpoint>(
  surface: Surface<Row>,
  source: CoreSource,
  req: IncomingMessage,
  { prefix, url }: { readonly prefix: string; readonly url: string },
  seen: { op: string; principal: string },
): Promise<Reply> {
  const questionMark = url.indexOf('?');
  const path = questionMark < 0 ? url : url.slice(0, questionMark);
  const match = surface.routes.match(req.method ?? 'GET', path);
  if (match === undefined)
    throw new RegistryError('UNSUPPORTED', { status: 404, message: 'there is no such endpoint' });
  seen.op = match.row.op;
  surface.guard?.(req);
  const core = source.opened ?? (await source.ready());
  const principal = await core.access.authenticate(req);
  seen.principal = principal.id;
  const caller: Caller = { principal, mayPull: (at) => core.access.permits(principal, 'pull', at) };
  const name = match.params['name'] as WireName | undefined;
  const resolved = name === undefined ? undefined : core.directory.resolve(name);
  if (!(await core.access.permits(principal, match.row.access, resolved?.at))) {
    throw core.access.refusal(principal, match.row.access);
  }
  if (name !== undefined && resolved === undefined) throw nameUnknown(name, core.directory);
  const target: Target | undefined = name === undefined || resolved === undefined ? undefined : { name, ...resolved };
  const query = new URLSearchParams(questionMark < 0 ? '' : url.slice(questionMark + 1));
  // The table pairs each op with the parameters of its own path; the compiler proved it where the record was written.
  const handler = surface.handlers[match.row.op as Row['op']] as Handler<unknown>;
  return handler({
    req,
    prefix,
    path: prefix + path,
    query,
    params: match.params,
    caller,
    target,
  } as Exchange<unknown>);
}

function nameUnknown(name: WireName, directory: RepositoryDirectory): RegistryError {
  return new RegistryError('NAME_UNKNOWN', {
    message: 'no such repository: names have the form <repository>/<image>, as in host/<repository>/team/app:tag',
    detail: { name, repositories: directory.list().map(({ repository }) => repository.config.name) },
  });
}

/** What may be told to the client: an error of ours as it is, anything else as UNKNOWN, with its cause in the log alone. */
function asRegistryError(thrown: unknown, req: IncomingMessage, runtime: Runtime, id: string): RegistryError {
  if (thrown instanceof RegistryError) {
    if (thrown.status >= 500) runtime.log.error({ err: thrown, id, method: req.method, url: req.url }, thrown.message);
    return thrown;
  }
  // A client that went away is no fault of ours: nobody reads this answer.
  if (req.destroyed && !req.complete) {
    runtime.log.debug(
      { err: thrown, id, method: req.method, url: req.url },
      'the client left before its request ended',
    );
    return new RegistryError('BLOB_UPLOAD_INVALID', { message: 'the request body ended early' });
  }
  runtime.log.error({ err: thrown, id, method: req.method, url: req.url }, 'a request failed');
  return new RegistryError('UNKNOWN', { detail: { requestId: id } });
}
