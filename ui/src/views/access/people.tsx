import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { PersonDocument } from '../../../../src/protocol/documents/access.js';
import { get, send } from '../../api.ts';
import { compareNaturally } from '../../format.ts';
import { hrefOf } from '../../location.ts';
import { DialogForm } from '../../parts/dialog.tsx';
import { Answered, Empty } from '../../parts/problem.tsx';
import { announce } from '../../parts/status.tsx';
import { Table, type Column } from '../../parts/table.tsx';
import { When } from '../../parts/texts.tsx';
import { useAnswer } from '../../use-answer.ts';

const sources: Readonly<Record<string, string>> = {
  account: 'account',
  htpasswd: 'password file',
  oidc: 'OIDC',
  host: 'application',
};

type Change = 'disable' | 'enable' | 'remove';
interface Asked {
  readonly person: PersonDocument;
  readonly change: Change;
}

/** Everyone who can log in. Users of a provider or of the application can be locked out here. */
export function People(): VNode {
  const [asked, ask] = useState<Asked | undefined>(undefined);
  const answer = useAnswer(
    (signal) => get<{ readonly people: readonly PersonDocument[] }>('access/people', {}, signal),
    [],
  );
  return (
    <>
      <Answered answer={answer} what="The people could not be read">
        {({ people }) =>
          people.length === 0 ? (
            <Empty>No one can log in: there are no accounts, and no one has logged in yet.</Empty>
          ) : (
            <Table
              caption="People"
              rows={people}
              columns={columnsOf(ask)}
              keyOf={({ name, source }) => `${source} ${name}`}
            />
          )
        }
      </Answered>
      {asked === undefined ? undefined : (
        <ChangePerson {...asked} onClose={() => ask(undefined)} onDone={answer.reload} />
      )}
    </>
  );
}

function columnsOf(ask: (asked: Asked) => void): readonly Column<PersonDocument>[] {
  return [
    {
      key: 'name',
      title: 'Name',
      isText: true,
      compare: (one, other) => compareNaturally(one.name, other.name),
      cell: ({ name, source, disabled: isDisabled }) => (
        <>
          {source === 'account' ? <a href={hrefOf(`/access/accounts/${encodeURIComponent(name)}`)}>{name}</a> : name}{' '}
          {isDisabled ? <span class="badge bad">disabled</span> : undefined}
        </>
      ),
    },
    {
      key: 'source',
      title: 'Source',
      isWide: true,
      compare: (one, other) => compareNaturally(one.source, other.source),
      cell: ({ source }) => sources[source] ?? source,
    },
    { key: 'groups', title: 'Groups', isWide: true, isText: true, cell: ({ groups }) => groups.join(', ') },
    {
      key: 'tokens',
      title: 'Tokens',
      isNumber: true,
      isWide: true,
      compare: (one, other) => one.tokens - other.tokens,
      cell: ({ tokens }) => tokens,
    },
    {
      key: 'login',
      title: 'Last login',
      isText: true,
      cell: (person) => (person.last_login_at === undefined ? 'none' : <When at={person.last_login_at} />),
    },
    { key: 'actions', title: 'Action', isText: true, cell: (person) => <Actions person={person} ask={ask} /> },
  ];
}

function Actions({
  person,
  ask,
}: {
  readonly person: PersonDocument;
  readonly ask: (asked: Asked) => void;
}): VNode | undefined {
  if (person.source !== 'oidc' && person.source !== 'host') return undefined;
  const toggle = person.disabled ? 'enable' : 'disable';
  return (
    <>
      {([toggle, 'remove'] as const).map((change) => (
        <button
          key={change}
          type="button"
          aria-label={`${words[change].title} ${person.name}`}
          onClick={() => ask({ person, change })}
        >
          {words[change].title}
        </button>
      ))}
    </>
  );
}

const words: Readonly<Record<Change, { readonly title: string; readonly done: string; readonly effect: string }>> = {
  disable: {
    title: 'Disable',
    done: 'Disabled',
    effect: 'All sessions end, and tokens stop working with the next request, but are not deleted.',
  },
  enable: { title: 'Enable', done: 'Enabled', effect: 'The tokens work again, and so does the login.' },
  remove: {
    title: 'Remove',
    done: 'Removed',
    effect:
      'All sessions end, and all tokens are deleted. A later login creates a new record: to lock someone out, disable them instead.',
  },
};

function ChangePerson({
  person: { name },
  change,
  onClose,
  onDone,
}: Asked & { readonly onClose: () => void; readonly onDone: () => void }): VNode {
  const { title, done, effect } = words[change];
  const submit = async (): Promise<void> => {
    const path = `access/people/${encodeURIComponent(name)}`;
    if (change === 'remove') await send('DELETE', path);
    else await send('PUT', path, { disabled: change === 'disable' });
    announce(`${done} ${name}`);
    onClose();
    onDone();
  };
  return (
    <DialogForm
      title={`${title} ${name}?`}
      submit={title}
      what="The person could not be changed"
      isDangerous={change !== 'enable'}
      onSubmit={submit}
      onClose={onClose}
    >
      <p>{effect}</p>
    </DialogForm>
  );
}
