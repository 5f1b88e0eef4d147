import type { VNode } from 'preact';
import type { RepositoryDocument } from '../../../../src/protocol/documents/repositories.js';
import { getVersioned } from '../../api.ts';
import { hrefOf, go, setQuery } from '../../location.ts';
import { Icon } from '../../parts/icon.tsx';
import { Facts, Page, Section } from '../../parts/page.tsx';
import { Answered } from '../../parts/problem.tsx';
import { Table, type Column } from '../../parts/table.tsx';
import { When } from '../../parts/texts.tsx';
import { titleOf } from './repository-fields.ts';
import { useAnswer } from '../../use-answer.ts';
import { DeleteRepository } from './delete-repository.tsx';
import { Protection } from './protection.tsx';
import { RepositoryForm } from './repository-form.tsx';

/** A repository: its settings, limits and protection, and buttons to change or delete it. */
export function OneRepository({ name, query }: { readonly name: string; readonly query: URLSearchParams }): VNode {
  const answer = useAnswer((signal) => getVersioned<RepositoryDocument>(`repositories/${name}`, signal), [name]);
  const { document: repository, version } = answer.value ?? {};
  return (
    <Page
      title={`Repository ${name}`}
      heading={
        <span class="crumbs">
          <a href="#/repositories">Repositories</a> / {name}
        </span>
      }
      actions={repository?.origin === 'managed' ? <Actions /> : undefined}
    >
      <Answered answer={answer} what="The repository could not be read">
        {({ document }) => <Details repository={document} />}
      </Answered>
      {repository !== undefined && query.has('edit') ? (
        <RepositoryForm
          type={repository.repo_type}
          repository={repository}
          version={version}
          onClose={() => {
            setQuery({ edit: undefined });
            answer.reload();
          }}
          onDone={() => {
            setQuery({ edit: undefined });
            answer.reload();
          }}
        />
      ) : undefined}
      {query.has('delete') ? (
        <DeleteRepository
          name={name}
          version={version}
          onClose={() => setQuery({ delete: undefined })}
          onDone={() => go('/repositories')}
        />
      ) : undefined}
    </Page>
  );
}

function Actions(): VNode {
  return (
    <>
      <button type="button" onClick={() => setQuery({ edit: 'true' })}>
        Settings…
      </button>
      <button type="button" class="danger" onClick={() => setQuery({ delete: 'true' })}>
        <Icon name="trash" /> Delete…
      </button>
    </>
  );
}

function Details({ repository }: { readonly repository: RepositoryDocument }): VNode {
  const { name, repo_type: type, description, origin, cache, members, push_to: pushTo, protection } = repository;
  return (
    <>
      {description === undefined || description === '' ? undefined : <p>{description}</p>}
      <Facts
        facts={[
          ['Type', type],
          [
            'Content',
            <a key="images" href={hrefOf('/images', { repository: name })}>
              Images
            </a>,
          ],
          [
            'Cache',
            type === 'remote' && cache !== false && origin !== undefined ? (
              <a key="cache" href={hrefOf(`/caches/${name}`)}>
                Status
              </a>
            ) : undefined,
          ],
          [
            'Clients',
            <a key="connect" href={hrefOf('/connect', { repository: name })}>
              Connect
            </a>,
          ],
          ['Set in', origin === 'declared' ? 'the options of the registry; it can only be changed there' : undefined],
          ['Changed', origin === 'managed' ? <When key="changed" at={repository.updated_at} /> : undefined],
        ]}
      />
      {members === undefined ? undefined : <Members members={members} pushTo={pushTo} />}
      {protection === undefined ? undefined : (
        <Protection
          name={name}
          protection={protection}
          trashSeconds={repository['trash_seconds']}
          onChange={origin === 'managed' && type === 'local' ? () => setQuery({ edit: 'true' }) : undefined}
        />
      )}
      {origin === undefined ? undefined : <Settings repository={repository} />}
    </>
  );
}

type Member = NonNullable<RepositoryDocument['members']>[number];

function Members({
  members,
  pushTo,
}: {
  readonly members: readonly Member[];
  readonly pushTo: string | undefined;
}): VNode {
  return (
    <Section title="Members">
      <Table caption="Members" rows={members} columns={columnsOf(pushTo)} keyOf={({ name }) => name} />
    </Section>
  );
}

function columnsOf(pushTo: string | undefined): readonly Column<Member>[] {
  return [
    {
      key: 'name',
      title: 'Repository',
      cell: ({ name }) => <a href={hrefOf(`/repositories/${name}`)}>{name}</a>,
    },
    {
      key: 'images',
      title: 'Images',
      isText: true,
      cell: ({ include, exclude }) =>
        [
          include.length === 0 ? 'all' : `only ${include.join(', ')}`,
          ...(exclude.length === 0 ? [] : [`without ${exclude.join(', ')}`]),
        ].join(', '),
    },
    { key: 'pushes', title: 'Pushes', cell: ({ name }) => (name === pushTo ? 'receives them' : undefined) },
  ];
}

/** Fields that are shown elsewhere, or are not settings. */
const others = new Set(
  'name package_type repo_type description origin created_at updated_at status members push_to upstream protection max_bytes immutable_tags mutable_tags trash_seconds'.split(
    ' ',
  ),
);

function Settings({ repository }: { readonly repository: RepositoryDocument }): VNode {
  const settings = Object.entries(repository).filter(([name]) => !others.has(name));
  return (
    <Section title="Settings">
      <Facts facts={settings.map(([name, value]) => [titleOf(name), describe(value)] as const)} />
    </Section>
  );
}

function describe(value: unknown): string {
  if (value === true) return 'yes';
  if (value === false) return 'no';
  if (Array.isArray(value)) return value.map(describe).join(', ');
  if (typeof value === 'object' && value !== null) return Object.values(value).join(' for ');
  return String(value);
}
