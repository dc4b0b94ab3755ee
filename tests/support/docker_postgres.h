// PostgreSQL in an image, made of the host's own programs and libraries, and a server of it in a container.
#pragma once
#include <string>
#include <vector>

#include "runner/sys/json.h"
#include "tests/support/docker.h"

namespace relight {

// Programs of the host, with the libraries that they load, below a folder.
void add_programs(const std::string& folder, const std::vector<std::string>& programs);

// An image whose user postgres is 999:999 and whose start makes a cluster at $PGDATA, where there is none,
// for the superuser $ROLE, whose password is $PASSWORD. Its PATH leads to PostgreSQL's programs.
void make_postgres_image(const DockerEngine& engine, const std::string& name);

// A project with a service `db`, role `app`, and a volume for it.
class PostgresInDocker : public ComposeBench {
 public:
  // `volume`: what it keeps, and where; PGDATA is /var/lib/pg/data.
  explicit PostgresInDocker(const std::string& volume = "data:/var/lib/pg");
  ~PostgresInDocker();

  void up() const;    // returns when it takes connections
  void make() const;  // the container and the volume, not started
  void stop() const;
  std::string container() const;
  std::string address() const;  // of the container that runs
  std::string volume() const;   // its folder on this host
  // What psql prints within the container; empty where it does not answer.
  std::string sql(const std::string& text, const std::string& database = "postgres") const;
  // The fields by which a step reaches it: via, server, password.
  Json reached() const;

  const std::string password = "hunter2/of:the+database";
  std::string password_file() const { return path() + "/password"; }
};

}  // namespace relight
