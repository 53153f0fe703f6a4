"""Runs its arguments one after the other in one session of psycopg 3: SQL, or "sleep SECONDS". Prints what a query answers, or the
SQLSTATE of what failed ("lost" when there is none).
"""

import os
import sys
import time

import psycopg


def run(words):
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        for word in words:
            if word.startswith("sleep "):
                time.sleep(float(word.removeprefix("sleep ")))
                continue
            cursor = connection.execute(word)
            for row in cursor if cursor.description else ():
                print(row[0])


try:
    run(sys.argv[1:])
except psycopg.Error as problem:
    print(problem.sqlstate or "lost")
    sys.exit(1)
