import type { VNode } from 'preact';
import type { RepositoryDocument } from '../../../../src/protocol/documents/repositories.js';
import { get } from '../../api.ts';
import type { ViewProps } from '../../app.tsx';
import { compareNaturally } from '../../format.ts';
import { go, hrefOf, setQuery } from '../../location.ts';
import { Icon } from '../../parts/icon.tsx';
import { lazy } from '../../parts/lazy.tsx';
import { Page } from '../../parts/page.tsx';
import { Answered, Empty } from '../../parts/problem.tsx';
import { Table, type Column } from '../../parts/table.tsx';
import { session } from '../../session.ts';
import { useAnswer } from '../../use-answer.ts';

const RepositoryForm = lazy(() => import('./repository-form.tsx').then((module) => module.RepositoryForm));
const OneRepository = lazy(() => import('./repository.tsx').then((module) => module.OneRepository));

const Trash = lazy(() => import('./trash.tsx').then((module) => module.Trash));

const types = ['local', 'remote', 'virtual'] as const;

/** The list of repositories, one of them, or its trash. */
export function Repositories({ rest: [name, part], query }: ViewProps): VNode {
  if (name !== undefined && part === 'trash') return <Trash repository={name} query={query} />;
  return name === undefined ? <RepositoryList query={query} /> : <OneRepository name={name} query={query} />;
}

function RepositoryList({ query }: Pick<ViewProps, 'query'>): VNode {
  const answer = useAnswer(
    (signal) => get<{ readonly repositories: readonly RepositoryDocument[] }>('repositories', {}, signal),
    [],
  );
  const asked = types.find((type) => type === query.get('new'));
  const isAdmin = session.value?.may.admin === true;
  return (
    <Page title="Repositories" actions={isAdmin ? <NewButtons /> : undefined}>
      <Answered answer={answer} what="The repositories could not be read">
        {({ repositories: items }) =>
          items.length === 0 ? (
            <Empty>
              <p>You do not have access to any repository.</p>
            </Empty>
          ) : (
            <Table caption="Repositories" rows={items} columns={columns} keyOf={({ name }) => name} />
          )
        }
      </Answered>
      {asked === undefined ? undefined : (
        <RepositoryForm
          type={asked}
          onClose={() => setQuery({ new: undefined })}
          onDone={(name) => go(`/repositories/${name}`)}
        />
      )}
    </Page>
  );
}

function NewButtons(): VNode {
  return (
    <>
      {types.map((type) => (
        <button key={type} type="button" onClick={() => setQuery({ new: type })}>
          <Icon name="plus" /> New {type}
        </button>
      ))}
    </>
  );
}

const columns: readonly Column<RepositoryDocument>[] = [
  {
    key: 'name',
    title: 'Repository',
    compare: (one, other) => compareNaturally(one.name, other.name),
    cell: ({ name }) => <a href={hrefOf(`/repositories/${name}`)}>{name}</a>,
  },
  {
    key: 'type',
    title: 'Type',
    compare: (one, other) => compareNaturally(one.repo_type, other.repo_type),
    cell: ({ repo_type: type }) => type,
  },
  {
    key: 'images',
    title: 'Content',
    cell: ({ name }) => (
      <a href={hrefOf('/images', { repository: name })} aria-label={`Images of ${name}`}>
        images
      </a>
    ),
  },
  { key: 'description', title: 'Description', isWide: true, isText: true, cell: ({ description }) => description },
  {
    key: 'origin',
    title: 'Set in',
    isWide: true,
    cell: ({ origin }) => (origin === 'declared' ? <span class="badge">options</span> : origin && 'here'),
  },
];
