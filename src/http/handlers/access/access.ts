/** The operations on rules, accounts, tokens, people and sessions, and the logins of the web UI. */
import type { AccessAdministration, Account, RuleRecord } from '../../../ports/access/access.js';
import type { RepositoryDirectory } from '../../../ports/repository.js';
import {
  decodeAccount,
  decodePerson,
  decodeRule,
  decodeToken,
  encodeAccount,
  encodeKey,
  encodePerson,
  encodeRule,
  encodeToken,
} from '../../../protocol/tables/documents/access-documents.js';
import type { accessEndpoints } from '../../../protocol/tables/rows/access-endpoints.js';
import { notFound } from '../../../protocol/settings/access-names.js';
import { RegistryError } from '../../../protocol/errors.js';
import type { ManagementParams } from '../../../protocol/tables/management.js';
import { readDocument } from '../../bodies/document.js';
import type { Handler } from '../../exchange.js';
import { jsonReply } from '../../reply.js';
import { checkAccess } from './access-check.js';

/** The dependencies of `createAccessHandlers`. */
export interface AdministrationParts {
  readonly directory: Pick<RepositoryDirectory, 'get' | 'resolve'>;
  /** Absent if access control is off. */
  readonly administration: AccessAdministration | undefined;
  /** Returns the time in ms since the epoch. */
  readonly now: () => number;
}

type AccessOp = (typeof accessEndpoints)[number]['op'];
type Handlers = { readonly [O in AccessOp]: Handler<ManagementParams<O>> };
type HandlersOf<Noun extends string> = Pick<Handlers, Extract<AccessOp, `${Noun}.${string}`>>;

/**
 * Creates the management API handlers for access checks, people, accounts, tokens, rules and keys. `parts` is called
 * for each request.
 */
export function createAccessHandlers(parts: () => AdministrationParts): Handlers {
  const administration = (): AccessAdministration => {
    const found = parts().administration;
    if (found !== undefined) return found;
    throw new RegistryError('UNSUPPORTED', {
      status: 404,
      message: 'this registry has no access control: set rules in the option access to use accounts, rules and keys',
    });
  };
  return {
    'access.check': ({ query }) => {
      return checkAccess({ administration: administration(), directory: parts().directory }, query);
    },
    ...createPersonHandlers(administration),
    ...createAccountHandlers(administration),
    ...createTokenHandlers(administration, () => parts().now()),
    ...createRuleHandlers(administration),
    'key.list': async () => jsonReply(200, { keys: (await administration().listKeys()).map(encodeKey) }),
    'key.rotate': async ({ caller }) => jsonReply(201, encodeKey(await administration().rotateKeys(caller.actor))),
  };
}

function createPersonHandlers(administration: () => AccessAdministration): HandlersOf<'person'> {
  return {
    'person.list': async () => {
      return jsonReply(200, { people: (await administration().people.list()).map(encodePerson) });
    },
    'person.replace': async ({ caller, req, body, params: { person: name } }) => {
      const { people } = administration();
      const { disabled } = decodePerson(await readDocument({ req, body }));
      const person = await people.setDisabled(name, disabled, caller.actor);
      if (person === undefined) throw notFound('person', name);
      return jsonReply(200, encodePerson(person));
    },
    'person.delete': async ({ caller, params: { person: name } }) => {
      if (!(await administration().people.delete(name, caller.actor))) throw notFound('person', name);
      return { status: 204 };
    },
  };
}

type AccountHandlers = HandlersOf<'account'>;
type TokenOp = 'account.tokens' | 'account.createToken' | 'account.deleteToken';

function createAccountHandlers(administration: () => AccessAdministration): Omit<AccountHandlers, TokenOp> {
  return {
    'account.list': async () => {
      const accounts = await administration().accounts.list();
      return jsonReply(200, { accounts: accounts.map(encodeAccount) });
    },
    'account.create': async ({ caller, req, body, prefix }) => {
      const { accounts } = administration();
      const account = await accounts.create(decodeAccount(await readDocument({ req, body })), caller.actor);
      return jsonReply(201, encodeAccount(account), { Location: `${prefix}/api/v1/accounts/${account.name}` });
    },
    'account.get': async ({ params }) => jsonReply(200, encodeAccount(await findAccount(administration(), params))),
    'account.replace': async ({ caller, req, body, params }) => {
      const { accounts } = administration();
      const account = await accounts.replace(
        decodeAccount(await readDocument({ req, body }), params.account),
        caller.actor,
      );
      if (account === undefined) throw notFound('account', params.account);
      return jsonReply(200, encodeAccount(account));
    },
    'account.delete': async ({ caller, params }) => {
      if (!(await administration().accounts.delete(params.account, caller.actor)))
        throw notFound('account', params.account);
      return { status: 204 };
    },
  };
}

function createTokenHandlers(
  administration: () => AccessAdministration,
  now: () => number,
): Pick<AccountHandlers, TokenOp> {
  return {
    'account.tokens': async ({ params }) => {
      const { name } = await findAccount(administration(), params);
      const tokens = await administration().accounts.tokens(name);
      return jsonReply(200, { tokens: tokens.map(encodeToken) });
    },
    'account.createToken': async ({ caller, req, body, prefix, params }) => {
      const { name } = await findAccount(administration(), params);
      const settings = decodeToken(await readDocument({ req, body }), now());
      const { token, secret } = await administration().accounts.createToken(name, settings, caller.actor);
      const location = `${prefix}/api/v1/accounts/${name}/tokens/${token.id}`;
      const headers = { Location: location, 'Cache-Control': 'no-store, no-transform' };
      return jsonReply(201, { ...encodeToken(token), token: secret }, headers);
    },
    'account.deleteToken': async ({ caller, params }) => {
      const { name } = await findAccount(administration(), params);
      if (!(await administration().accounts.deleteToken(name, params.token, caller.actor))) throw notFound('token');
      return { status: 204 };
    },
  };
}

function createRuleHandlers(administration: () => AccessAdministration): HandlersOf<'rule'> {
  return {
    'rule.list': async () => jsonReply(200, { rules: (await administration().rules.list()).map(encodeRule) }),
    'rule.create': async ({ caller, req, body, prefix }) => {
      const { rules } = administration();
      const record = await rules.create(decodeRule(await readDocument({ req, body })), caller.actor);
      return jsonReply(201, encodeRule(record), { Location: `${prefix}/api/v1/rules/${record.id}` });
    },
    'rule.get': async ({ params }) => jsonReply(200, encodeRule(await findRule(administration(), params))),
    'rule.replace': async ({ caller, req, body, params }) => {
      const { rules } = administration();
      const record = await rules.replace(
        params.rule,
        decodeRule(await readDocument({ req, body }), params.rule),
        caller.actor,
      );
      if (record === undefined) throw notFound('rule', params.rule);
      return jsonReply(200, encodeRule(record));
    },
    'rule.delete': async ({ caller, params }) => {
      if (!(await administration().rules.delete(params.rule, caller.actor))) throw notFound('rule', params.rule);
      return { status: 204 };
    },
  };
}

/** Finds an account by name. @throws RegistryError NOT_FOUND. */
async function findAccount(
  { accounts }: AccessAdministration,
  { account: name }: { readonly account: string },
): Promise<Account> {
  const account = await accounts.get(name);
  if (account === undefined) throw notFound('account', name);
  return account;
}

/** Finds a rule by id. @throws RegistryError NOT_FOUND. */
async function findRule({ rules }: AccessAdministration, { rule: id }: { readonly rule: string }): Promise<RuleRecord> {
  const record = (await rules.list()).find((found) => found.id === id);
  if (record === undefined) throw notFound('rule', id);
  return record;
}
