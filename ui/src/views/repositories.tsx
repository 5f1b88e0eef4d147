import type { VNode } from 'preact';
import type { RepositoryDocument } from '../../../src/protocol/documents/repositories.js';
import { get } from '../api.ts';
import { compareNaturally } from '../format.ts';
import { hrefOf } from '../location.ts';
import { Page } from '../parts/page.tsx';
import { Answered, Empty } from '../parts/problem.tsx';
import { Table, type Column } from '../parts/table.tsx';
import { useAnswer } from '../use-answer.ts';

/** The list of repositories. */
export function Repositories(): VNode {
  const answer = useAnswer(
    (signal) => get<{ readonly repositories: readonly RepositoryDocument[] }>('repositories', {}, signal),
    [],
  );
  return (
    <Page title="Repositories">
      <Answered answer={answer} what="The repositories could not be read">
        {({ repositories: items }) =>
          items.length === 0 ? (
            <Empty>
              <p>There are no repositories that you may use.</p>
            </Empty>
          ) : (
            <Table caption="Repositories" rows={items} columns={columns} keyOf={({ name }) => name} />
          )
        }
      </Answered>
    </Page>
  );
}

const columns: readonly Column<RepositoryDocument>[] = [
  {
    key: 'name',
    title: 'Repository',
    compare: (one, other) => compareNaturally(one.name, other.name),
    cell: ({ name }) => <a href={hrefOf('/images', { repository: name })}>{name}</a>,
  },
  { key: 'type', title: 'Type', cell: ({ repo_type: type }) => type },
  { key: 'description', title: 'Description', isWide: true, cell: ({ description }) => description },
];
